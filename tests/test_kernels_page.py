"""docs/kernels.md names every kernel, and its measured part is what the results say."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

from bnn_deploy.kernels import available_kernels

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "kernels.md"
LIST = ROOT / "native" / "core" / "bconv2d" / "kernels.inc"


def kernels_page(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "benchmarks" / "kernels_page.py"), *arguments]
    return subprocess.run(command, text=True, capture_output=True, check=False)


def test_every_kernel_is_on_the_page() -> None:
    listed = set(re.findall(r"BNN_BCONV2D_KERNEL\((bconv2d_\w+)\)", LIST.read_text(encoding="utf-8")))
    assert {kernel.name for kernel in available_kernels()} <= listed
    named = set(re.findall(r"`(bconv2d_\w+)`", PAGE.read_text(encoding="utf-8")))
    assert named == listed


def test_the_page_is_not_stale() -> None:
    done = kernels_page("--check")
    assert done.returncode == 0, done.stderr


def test_a_stale_page_is_found_and_rewritten(tmp_path: Path) -> None:
    page = tmp_path / "kernels.md"
    page.write_text(PAGE.read_text(encoding="utf-8"), encoding="utf-8")
    block = {"macs_per_cycle": 500.0, "percent_of_peak": 73.5, "percent_of_roofline": 80.0, "bound": "memory"}
    layer = {"layer": "3x3 256ch 14x14", "kernel": "bconv2d_avx512_dense_7x2", **block}
    results = {
        "commit": "0123456789ab",
        "device": {"cpu": "a CPU", "compiler": "a compiler"},
        "settings": {"rounds": 2},
        "peak": {"macs_per_cycle": 680.0, "recipe": "xor", "cycle_ns": 0.25},
        # 256 channels of 196 pixels are 3136 times 16; 3136 ns more are 4 cycles for each
        "rows": [
            {**layer, "epilogue": "bits", "best_ns": 10000.0},
            {**layer, "epilogue": "block", "best_ns": 13136.0},
        ],
    }
    (tmp_path / "kernels.json").write_text(json.dumps(results), encoding="utf-8")
    options = ["--page", str(page), "--results", str(tmp_path)]
    assert kernels_page(*options, "--check").returncode == 1
    assert kernels_page(*options).returncode == 0
    assert kernels_page(*options, "--check").returncode == 0
    text = page.read_text(encoding="utf-8")
    assert "| 3x3 256ch 14x14 | dense_7x2 | 500 (73.5 %) | 500 (73.5 %) | 80 %, memory | 4.0 |" in text
    assert "**AVX2**: not measured yet; `python benchmarks/kernels.py --isa avx2 --out" in text
