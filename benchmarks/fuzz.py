"""Fuzzing: libFuzzer with AddressSanitizer and UndefinedBehaviorSanitizer on whatever reads files.

bnn_fuzz    any bytes as a network: refused with a message, or loaded and run, twice with one result
layers_fuzz any bytes as a plan of `bnn-board layers`: refused, or each step compared with the scalar kernels and run
onnx_fuzz   any bytes as nodes of an .onnx file, some damaged, in the library for ONNX Runtime: refused, or the engine's
            answer
litert_fuzz any bytes as nodes of a .tflite file, some damaged, in the delegate for LiteRT: refused, or the engine's
            answer, of a single operator that of plain loops

Mutations know the format (native/fuzz/mutate.cc); an input does the same each time. Each target starts from its
corpus, native/fuzz/corpus, and continues where the last run stopped (runs/fuzz). A finding ends the run with exit code
1 and the command that shows it again; fix it, keep the file in the corpus. --minimise makes the corpus anew from what
has been found since: the smallest inputs that reach as much.

Executions, seconds and what they reached are added up in benchmarks/results/fuzz.json.

    scripts/fuzz --seconds 3600           # builds the targets first: clang and libclang-rt-14-dev
    scripts/fuzz --executions 1000000 --target bnn_fuzz
    scripts/fuzz --seconds 10 --replay    # what CI does: the corpus, then ten seconds each, nothing written
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

from common import HERE, Json, commit, progress, write_results

from bnn_deploy.settings import read_json

TARGETS = ("bnn_fuzz", "layers_fuzz", "onnx_fuzz", "litert_fuzz")
CORPUS = HERE.parent / "native" / "fuzz" / "corpus"
MAX_BYTES = 4096
SLICE_S = 600  # figures are written this often


def run_target(build: Path, target: str, folders: list[Path], findings: Path, arguments: list[str]) -> tuple[int, str]:
    """One run of libFuzzer; its exit code and what it said."""
    findings.mkdir(parents=True, exist_ok=True)
    command = [str(build / target), f"-max_len={MAX_BYTES}", f"-artifact_prefix={findings}/", "-print_final_stats=1"]
    command += ["-len_control=0", "-timeout=20", "-rss_limit_mb=4096", *arguments, *map(str, folders)]
    environment = {
        **os.environ,
        "ASAN_OPTIONS": "quarantine_size_mb=16:malloc_context_size=2",
    }  # more executions a second
    done = subprocess.run(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, errors="replace", env=environment, check=False
    )
    return done.returncode, done.stdout


def last_number(pattern: str, text: str) -> int:
    """The number that the last match of the pattern holds; 0 without one."""
    found = re.findall(pattern, text)
    return int(found[-1]) if found else 0


def add_up(results: Json, target: str, output: str, seconds: float, good: bool) -> Json:
    """The figures of a target with those of one more run."""
    targets = results.get("targets")
    before = targets.get(target, {}) if isinstance(targets, dict) else {}
    return {
        "executions": before.get("executions", 0) + last_number(r"number_of_executed_units: (\d+)", output),
        "seconds": round(before.get("seconds", 0) + seconds),
        "edges": max(before.get("edges", 0), last_number(r"cov: (\d+)", output)),
        "features": max(before.get("features", 0), last_number(r"ft: (\d+)", output)),
        "findings": before.get("findings", 0) + (not good),
    }


def explain(target: str, build: Path, output: str) -> None:
    """What went wrong, and how to see it again."""
    artifact = re.findall(r"Test unit written to (\S+)", output)
    tail = "\n".join(output.splitlines()[-40:])
    again = f"{build / target} {artifact[-1]}" if artifact else "no input was written"
    print(f"{tail}\n\n{target}: a finding; again: {again}", file=sys.stderr)


def minimise(build: Path, target: str, work: Path) -> None:
    """The committed corpus made anew from itself and the work folder."""
    kept, old = CORPUS / target, CORPUS / f"{target}.old"
    kept.mkdir(parents=True, exist_ok=True)
    kept.rename(old)
    kept.mkdir()
    code, output = run_target(build, target, [kept, old, work], work.parent / "findings", ["-merge=1"])
    if code:
        shutil.rmtree(kept)
        old.rename(kept)
        raise SystemExit(f"{target}: the corpus cannot be merged:\n{output[-2000:]}")
    shutil.rmtree(old)
    files = list(kept.iterdir())
    progress(f"{target}: corpus of {len(files)} files, {sum(file.stat().st_size for file in files) / 1000:.0f} kB")


def fuzz(build: Path, target: str, options: argparse.Namespace) -> bool:
    """One target within its budget; False after a finding."""
    work = options.work / target
    work.mkdir(parents=True, exist_ok=True)
    left_s, left = options.seconds, options.executions
    while left_s > 0 and left > 0:
        arguments = [f"-max_total_time={min(left_s, SLICE_S)}"] + ([f"-runs={left}"] if left < sys.maxsize else [])
        start = time.monotonic()
        folders = [work] if not (CORPUS / target).is_dir() else [work, CORPUS / target]
        code, output = run_target(build, target, folders, options.work / "findings", arguments)
        seconds = time.monotonic() - start
        executed = last_number(r"number_of_executed_units: (\d+)", output)
        left_s -= round(seconds)
        left -= max(executed, 1)
        edges = last_number(r"cov: (\d+)", output)
        progress(f"{target}: {executed} executions in {seconds:.0f} s, {edges} edges")
        if not options.replay:
            note(options.out, target, output, seconds, code == 0)
        if code:
            explain(target, build, output)
            return False
    return True


def note(path: Path, target: str, output: str, seconds: float, good: bool) -> None:
    """Add one run to the results."""
    results = read_json(path) if path.is_file() else {}
    targets = results.get("targets")
    updated = {**(targets if isinstance(targets, dict) else {}), target: add_up(results, target, output, seconds, good)}
    commits = results.get("commits")
    known = commits if isinstance(commits, list) else []
    sanitizers = ["address", "undefined"]
    data = {"commits": list(dict.fromkeys([*known, commit()])), "sanitizers": sanitizers, "targets": updated}
    write_results(path, data)


def main() -> int:
    """The command line; exit code 1 after a finding."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", type=Path, default=HERE.parent / "build" / "fuzz", help="with -DBNN_FUZZ=ON")
    parser.add_argument("--target", choices=TARGETS, action="append", help="default: all, one after another")
    parser.add_argument("--seconds", type=int, default=600, help="budget of each target (600)")
    parser.add_argument("--executions", type=int, default=sys.maxsize, help="budget of each target")
    parser.add_argument("--work", type=Path, default=HERE.parent / "runs" / "fuzz", help="what was found so far")
    parser.add_argument("--out", type=Path, default=HERE / "results" / "fuzz.json")
    parser.add_argument("--replay", action="store_true", help="change neither results nor corpus: for CI")
    parser.add_argument("--minimise", action="store_true", help="afterwards make the corpus anew")
    options = parser.parse_args()
    os.nice(10)
    for target in options.target or TARGETS:
        if not fuzz(options.build, target, options):
            return 1
        if options.minimise:
            minimise(options.build, target, options.work / target)
    return 0


if __name__ == "__main__":
    sys.exit(main())
