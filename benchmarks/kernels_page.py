"""The measured part of docs/kernels.md, from the raw results of kernels.py and mca.py.

    scripts/kernels-page [--check] [--page FILE] [--results FOLDER]

Rewrites what stands between the two markers; --check changes nothing and exits 1 if the page is stale. A result that is
missing gives a line saying which command makes it. Standard library only.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
BEGIN = "<!-- made by scripts/kernels-page; do not edit -->"
END = "<!-- end of what scripts/kernels-page makes -->"
ISAS = {
    "avx512": ("AVX-512", "kernels"),
    "avx512bw": ("AVX-512BW", "kernels-avx512bw"),
    "avx2": ("AVX2", "kernels-avx2"),
}
CPUS = {"cortex-a72": "Cortex-A72", "neoverse-n1": "Neoverse N1 (A76)", "cortex-a55": "Cortex-A55"}
LAYER = re.compile(r"(\d)x\d (\d+)ch (\d+)x\d+(?: (\d+)/group| (depthwise))?$")
LANES = 16  # output channels of which the epilogue's cycles are counted

Json = dict[str, Any]


def read(path: Path) -> Json | None:
    """The file's JSON object; None if there is no such file."""
    if not path.is_file():
        return None
    data = json.loads(path.read_text(encoding="utf-8"))
    assert isinstance(data, dict)
    return data


def order(layer: str) -> tuple[int, int, int]:
    """Dense 3x3, dense 1x1, large groups before small ones, depthwise; then from the largest image."""
    match = LAYER.match(layer)
    if match is None:
        raise ValueError(f"no layer of benchmarks/kernels.py: {layer}")
    kernel, channels, size = int(match[1]), int(match[2]), int(match[3])
    per_group = 1 if match[5] else int(match[4] or 0)
    return (3 - kernel if not per_group else 1000 - per_group, -size, channels)


def short(kernel: str, isa: str) -> str:
    """bconv2d_avx512_dense_7x2 -> dense_7x2; another instruction set's name stays."""
    return kernel.removeprefix("bconv2d_").removeprefix(f"{isa}_")


def rate(row: Json) -> str:
    """MAC/cycle (percent of peak)."""
    return f"{row['macs_per_cycle']:.0f} ({row['percent_of_peak']:.1f} %)"


def epilogue_cycles(bits: Json, block: Json, cycle_ns: float) -> str:
    """What the float epilogue takes longer than the threshold, in cycles for 16 channels of a pixel."""
    match = LAYER.match(bits["layer"])
    assert match
    outputs = int(match[2]) * int(match[3]) ** 2
    return f"{(block['best_ns'] - bits['best_ns']) / cycle_ns / (outputs / LANES):.1f}"


def source(isa: str, data: Json | None, folder: str = "") -> str:
    """What was measured, or how to."""
    title, file = ISAS[isa]
    if data is None:
        command = f"python benchmarks/kernels.py --isa {isa} --out benchmarks/results/{file}.json"
        return f"* **{title}**: not measured yet; `{command}` makes `{file}.json`."
    device, peak = data["device"], data["peak"]
    return (
        f"* **{title}**: `{folder}{file}.json`, commit {data['commit']}, {device['cpu']}, {device['compiler']}, "
        f"{data['settings']['rounds']} rounds; peak {peak['macs_per_cycle']:.1f} MAC/cycle ({peak['recipe']})."
    )


def pairs(data: Json) -> dict[str, tuple[Json, Json]]:
    """Layer -> its row with the threshold and its row with the float block."""
    rows = {(row["layer"], row["epilogue"]): row for row in data["rows"]}
    return {layer: (rows[layer, "bits"], rows[layer, "block"]) for layer, _ in rows}


def table(results: dict[str, Json], *, full: bool) -> list[str]:
    """A row for each layer, columns for each instruction set; full: the roofline and the epilogue, too."""
    if not results:
        return []
    heads = ["layer"]
    for isa in results:
        heads += [f"{ISAS[isa][0]} kernel", "threshold", "float block"]
        heads += ["of its roofline", "epilogue, cycles"] if full else []
    lines = ["", "| " + " | ".join(heads) + " |", "|---" * len(heads) + "|"]
    layers = {isa: pairs(data) for isa, data in results.items()}
    for layer in sorted(next(iter(layers.values())), key=order):
        cells = [layer]
        for isa, data in results.items():
            bits, block = layers[isa][layer]
            cells += [short(bits["kernel"], isa), rate(bits), rate(block)]
            if full:
                cells.append(f"{block['percent_of_roofline']:.0f} %, {block['bound']}")
                cells.append(epilogue_cycles(bits, block, data["peak"]["cycle_ns"]))
        lines.append("| " + " | ".join(cells) + " |")
    return lines


def measured(folder: Path) -> list[str]:
    """The tables of layers, as far as there are results."""
    found = {isa: read(folder / f"{file}.json") for isa, (_, file) in ISAS.items()}
    lines = [source(isa, data) for isa, data in found.items()]
    results = {isa: data for isa, data in found.items() if data is not None}
    best = {isa: data for isa, data in results.items() if isa == "avx512"}
    others = {isa: data for isa, data in results.items() if isa != "avx512"}
    return lines + table(best, full=True) + table(others, full=False)


def predicted(data: Json | None) -> list[str]:
    """The table of the NEON kernels."""
    if data is None:
        return ["Not made yet: `scripts/mca BUILD_FOLDER --out benchmarks/results/mca.json` on an AArch64 build."]
    lines = [
        f"`mca.json`: {data['llvm_mca']}; {data['compiler']}.",
        "",
        "| kernel | layer | MACs per instruction | " + " | ".join(CPUS.values()) + " |",
        "|---" * (3 + len(CPUS)) + "|",
    ]
    for name, kernel in data["kernels"].items():
        block, whole = kernel["block"], kernel["with_packed_output"]
        per_instruction = [f"{part['macs'] / part['instructions']:.1f}" for part in (block, whole)]
        rates = [f"{block['macs_per_cycle'][cpu]:.1f} / {whole['macs_per_cycle'][cpu]:.1f}" for cpu in CPUS]
        lines.append(f"| {name} | {kernel['layer']} | {' / '.join(per_instruction)} | " + " | ".join(rates) + " |")
    return lines


def made(folder: Path) -> str:
    """What belongs between the markers."""
    lines = ["", "### Measured, x86: Zen 5", "", *measured(folder), ""]
    if (zen4 := read(folder / "zen4" / "kernels.json")) is not None:
        lines += [
            "### Measured, x86: Zen 4",
            "",
            source("avx512", zen4, "zen4/"),
            *table({"avx512": zen4}, full=True),
            "",
        ]
    lines += ["### Predicted, NEON (llvm-mca, no measurements)", "", *predicted(read(folder / "mca.json")), ""]
    return "\n".join(lines)


def updated(page: str, folder: Path) -> str:
    """The page with its measured part made anew.

    Raises:
        ValueError: the markers do not stand there once each, in order.
    """
    head, begin, rest = page.partition(BEGIN)
    _, end, tail = rest.partition(END)
    if not (begin and end) or BEGIN in rest or END in head + tail:
        raise ValueError("the page does not have its two markers")
    return f"{head}{BEGIN}\n{made(folder)}\n{END}{tail}"


def main() -> int:
    parser = argparse.ArgumentParser(description="The measured part of docs/kernels.md")
    parser.add_argument("--check", action="store_true", help="change nothing; exit 1 if the page is stale")
    parser.add_argument("--page", type=Path, default=ROOT / "docs" / "kernels.md")
    parser.add_argument("--results", type=Path, default=ROOT / "benchmarks" / "results")
    arguments = parser.parse_args()
    old = arguments.page.read_text(encoding="utf-8")
    new = updated(old, arguments.results)
    if arguments.check:
        if new != old:
            print(f"{arguments.page} is stale: run scripts/kernels-page", file=sys.stderr)
        return int(new != old)
    arguments.page.write_text(new, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
