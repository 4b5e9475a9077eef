# Needs Python >= 3.10 with venv, make and a C++17 compiler; everything else comes from the package index, pinned in
# constraints.txt.
PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.installed
LCE_STAMP := .venv-lce/.installed
PEERS_STAMP := .venv-peers/.installed
NATIVE := CMakeLists.txt pyproject.toml constraints.txt $(shell find native cmake -type f)
FOLDERS := $(shell find bnn_deploy -type d ! -name __pycache__)

.PHONY: help install lce-env peers-env test check native-test quickstart format board-aarch64 wheels stream-formats

help:  ## this list
	@grep -E '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

install: $(STAMP)  ## the package with training and development tools, in .venv

# Editable: Python files are used from the checkout, the compiled parts are installed beside a redirect (scikit-build-core),
# so what the tests import is what was installed, and an edit of Python needs no new install. A change of native code or of
# the build does: hence the stamp. No build isolation: the build folder stays valid, so only changed files are compiled.
$(STAMP): $(NATIVE) $(FOLDERS)
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/pip install -q -c constraints.txt cmake nanobind ninja scikit-build-core
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/pip install -q -c constraints.txt --no-build-isolation -e '.[train,dev]'
	touch $@

lce-env: $(LCE_STAMP)  ## Larq Compute Engine (NumPy < 2) in .venv-lce, without TensorFlow; see scripts/lce-env

$(LCE_STAMP): scripts/lce-env
	PYTHON=$(PYTHON) scripts/lce-env
	touch $@

peers-env: $(PEERS_STAMP)  ## the runtimes that benchmarks/ compares with, in .venv-peers; see scripts/peers-env

$(PEERS_STAMP): scripts/peers-env
	PYTHON=$(PYTHON) scripts/peers-env
	touch $@

test: install lce-env  ## formatting, linting, types, native tests with sanitizers and without, pytest
	$(MAKE) check
	scripts/native-test build/sanitize -DBNN_SANITIZE=ON
	scripts/native-test build/native
	$(BIN)/pytest

check: install  ## formatting, linting, types
	scripts/check

native-test: install  ## native tests alone
	scripts/native-test build/native

quickstart: install lce-env  ## from a search space to a network that runs, in minutes
	$(BIN)/bnn-deploy quickstart

format: install  ## format all sources
	$(BIN)/ruff format
	$(BIN)/ruff check --fix
	git ls-files '*.c' '*.cc' '*.h' '*.inc' | xargs $(BIN)/clang-format -i

board-aarch64: install  ## the board binary for 64-bit ARM; prints where it is (needs g++-aarch64-linux-gnu or ziglang)
	@$(BIN)/python -c 'from bnn_deploy.profiling.board_binary import board_binary as b; print(b("aarch64"))'

wheels: install  ## dist/*.whl for x86-64 and AArch64, with the binaries of both (docs/wheels.md)
	scripts/wheels $(PYTHONS)

stream-formats: install  ## times the float stream in narrower formats (x86-64); the figures are in benchmarks/results
	$(BIN)/cmake -S . -B build/bench -DBNN_BENCH=ON -DBNN_TESTS=OFF
	$(BIN)/cmake --build build/bench --target stream_format --parallel
	$(BIN)/python benchmarks/stream_formats.py --only speed
