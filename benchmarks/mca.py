"""Predicted speed of the NEON kernels: llvm-mca on the machine code of the compiled objects themselves.

    scripts/mca BUILD_FOLDER [--check benchmarks/mca_bounds.json] [--out benchmarks/results/mca.json]

BUILD_FOLDER is an AArch64 build. The figures are PREDICTIONS of a model of the core, no measurements: caches always
hit and branches are always guessed. For each kernel with the integer epilogue:

  block   the innermost loop that holds the counting, alone
  layer   the whole of an output tile of the stated layer, packed output included: the function's way in, the loop as
          often as the layer needs it with the shortest way around, the comparison with the thresholds and the way out,
          tile after tile. Kernels whose loop holds all of this for a tile have one figure.

in binary MACs per cycle; every CNT of 16 bytes is 128 MACs. Two pipes of 128 bits and three instructions for 128 MACs
give at most 85.3. --check: exit status 1 if a prediction is below its bound. --out: writes the predictions and what
made them.
"""

from __future__ import annotations

import argparse
import heapq
import json
import re
import sys
from dataclasses import dataclass
from pathlib import Path

from programs import ProgramError, run, run_study, tool

CPUS = ("cortex-a72", "neoverse-n1", "cortex-a55")  # LLVM gives Cortex-A76 the model of A57; Neoverse N1 is its twin
COUNTED = re.compile(r"cnt\s+v\d+\.16b")
STORED = re.compile(r"(strb w\d+|str [bq]\d+), \[x")  # no spill: those are relative to sp
VECTOR_MACS = 128
BRANCH = re.compile(r"^(b|b\.\w+|cbn?z|tbn?z)\s+(?:.*,\s*)?(?:0x)?([0-9a-f]+)\b")
CALL_OR_END = re.compile(r"^(ret|br|blr|bl)\b")


@dataclass(frozen=True)
class Kernel:
    """One row of the table; tree() and lanes() make them."""

    name: str
    source: str
    function: str  # a pattern; the function holds the loop
    layer: str
    stores: int  # of packed output in a tile: a way through the function that leaves some out is not a tile
    tile: tuple[int, int] | None  # times that a tile enters the loop, iterations of each; None: the loop is a tile
    block_macs: int | None = None  # where the loop counts without CNT

    def path(self, folder: Path) -> Path:
        found = sorted(folder.glob(f"**/bconv2d/{self.source}*.o"))
        if len(found) != 1:
            raise ProgramError(f"{len(found)} objects of {self.source} under {folder}")
        return found[0]


def tree(name: str, layer: str, tile: tuple[int, int], groups: int = 1, dot: bool = False) -> Kernel:
    """Tiles of 4 pixels, 8 filters of each of `groups` groups side by side (arm_neon_tree.h)."""
    sums = "NeonDotSums" if dot else f"NeonTreeSums<{groups}>"
    source = "arm_neon_dot.cc" if dot else "arm_neon.cc"
    return Kernel(name, source, rf"{sums} ?>::tile<4, false, false, .*ThresholdSink", layer, 4 * groups, tile)


def lanes(name: str, layer: str, function: str, block_macs: int | None = None) -> Kernel:
    """Loops over pairs of pixels (arm_neon_lanes.h, arm_neon_depthwise.h)."""
    return Kernel(name, "arm_neon_lanes.cc", function, layer, 2, None, block_macs)


KERNELS = (
    tree("dense", "3x3, 256 channels", (3, 6)),
    tree("dense_1x1", "1x1, 512 channels", (1, 4)),
    tree("dense_dot", "3x3, 256 channels", (3, 6), dot=True),
    lanes("group8", "3x3, 8 channels per group", r"NeonLanes<8>::compare<1, true>"),
    lanes("group16", "3x3, 16 channels per group", r"NeonLanes<16>::compare<1, true>"),
    tree("group32", "3x3, 32 channels per group", (9, 1), groups=4),
    tree("group64", "3x3, 64 channels per group", (9, 1), groups=2),
    tree("group128", "3x3, 128 channels per group", (9, 1)),
    lanes("depthwise", "3x3, stride 1", r"NeonDepthwise::compare<1>", block_macs=2 * 9 * VECTOR_MACS),
)


@dataclass(frozen=True)
class Instruction:
    address: int
    text: str  # without what the disassembler adds

    @property
    def target(self) -> int | None:
        match = BRANCH.match(self.text)
        return int(match[2], 16) if match else None

    @property
    def falls_through(self) -> bool:
        return not re.match(r"(b|br|ret)\b(?!\.)", self.text)

    @property
    def for_mca(self) -> str:
        # Branches are always guessed: only their tests cost anything. A target means nothing to llvm-mca.
        return re.sub(r"(?:0x)?[0-9a-f]+$", "#0", self.text) if self.target is not None else self.text


def functions(path: Path) -> dict[str, list[Instruction]]:
    """Demangled name -> instructions."""
    objdump = tool("OBJDUMP", "aarch64-linux-gnu-objdump", "llvm-objdump")
    found: dict[str, list[Instruction]] = {}
    current: list[Instruction] = []
    for line in run([objdump, "-d", "-C", "--no-show-raw-insn", str(path)]).splitlines():
        if match := re.match(r"^[0-9a-f]+ <(.*)>:$", line):
            current = found.setdefault(match[1], [])
        elif match := re.match(r"^\s*([0-9a-f]+):\s+(\S.*)$", line):
            text = re.sub(r"\s*(<.*|//.*)$", "", match[2]).strip()
            current.append(Instruction(int(match[1], 16), re.sub(r"\s+", " ", text)))
    return found


class Code:
    """A function and the innermost loop that does most of the counting."""

    def __init__(self, name: str, instructions: list[Instruction], counts: re.Pattern[str]) -> None:
        self.name, self.instructions = name, instructions
        self.index = {instruction.address: i for i, instruction in enumerate(instructions)}
        best = 0
        for last, instruction in enumerate(instructions):
            first = self.index.get(instruction.target) if instruction.target is not None else None
            if first is None or first > last:
                continue
            body = instructions[first : last + 1]
            if any(i.target is not None or CALL_OR_END.match(i.text) for i in body[:-1]):
                continue  # not innermost
            counted = sum(1 for i in body if counts.search(i.text))
            if counted > best:
                best, self.first, self.last = counted, first, last
        if best == 0:
            raise ProgramError(f"no loop that counts in {name}")
        self.loop = instructions[self.first : self.last + 1]

    def way(self, start: int, ends: set[int]) -> list[Instruction]:
        """The fewest instructions from `start` up to one of `ends`, around the loop and other counting."""
        queue: list[tuple[int, int, int]] = [(0, start, -1)]
        came_from: dict[int, int] = {}
        while queue:
            cost, at, before = heapq.heappop(queue)
            if at in came_from:
                continue
            came_from[at] = before
            if at in ends:
                path = []
                while (at := came_from[at]) >= 0:
                    path.append(self.instructions[at])
                return path[::-1]
            instruction = self.instructions[at]
            if COUNTED.search(instruction.text):
                continue
            following = [at + 1] if instruction.falls_through else []
            if instruction.target in self.index and instruction.target is not None:
                following.append(self.index[instruction.target])
            for after in following:
                heapq.heappush(queue, (cost + 1, after, at))
        raise ProgramError(f"no way through {self.name}")

    def tile(self, entries: int, iterations: int) -> list[Instruction]:
        ends = {i for i, instruction in enumerate(self.instructions) if instruction.text == "ret"}
        around = self.way(self.last + 1, {self.first})
        whole = self.way(0, {self.first})
        for entry in range(entries):
            whole += (around if entry else []) + self.loop * iterations
        return whole + self.way(self.last + 1, ends)


def cycles(block: list[Instruction], cpu: str) -> float:
    """Cycles of a block that follows upon itself."""
    repeats = max(10, 4000 // len(block))
    text = "\n".join(instruction.for_mca for instruction in block) + "\n"
    arguments = [mca_tool(), "-mtriple=aarch64", "-mattr=+dotprod", f"-mcpu={cpu}", f"-iterations={repeats}"]
    match = re.search(r"Total Cycles:\s+(\d+)", run(arguments, text))
    if match is None:
        raise ProgramError("llvm-mca printed no total")
    return int(match[1]) / repeats


def mca_tool() -> str:
    # From LLVM 16 on: before, Neoverse N1 had the model of Cortex-A57, as Cortex-A72 has.
    return tool("LLVM_MCA", "llvm-mca-19", "llvm-mca-22", "llvm-mca", "llvm-mca-14")


def predict(kernel: Kernel, folder: Path) -> dict[str, object]:
    found = [(n, code) for n, code in functions(kernel.path(folder)).items() if re.search(kernel.function, n)]
    if len(found) != 1:
        raise ProgramError(f"{len(found)} functions match {kernel.function}")
    counts = COUNTED if kernel.block_macs is None else re.compile(r"^(bsl|bit|bif) v\d+\.16b")
    code = Code(*found[0], counts)

    def macs(block: list[Instruction]) -> int:
        return kernel.block_macs or VECTOR_MACS * sum(1 for i in block if COUNTED.search(i.text))

    def of(block: list[Instruction]) -> dict[str, object]:
        per_cycle = {cpu: round(macs(block) / cycles(block, cpu), 1) for cpu in CPUS}
        return {"macs": macs(block), "instructions": len(block), "macs_per_cycle": per_cycle}

    tile = code.tile(*kernel.tile) if kernel.tile else code.loop
    stores = sum(1 for i in tile if STORED.match(i.text))
    if stores != kernel.stores:
        raise ProgramError(f"{kernel.name}: {stores} stores of packed output in a tile, not {kernel.stores}")
    block = of(code.loop)
    layer = of(tile) if kernel.tile else block
    return {"layer": kernel.layer, "block": block, "with_packed_output": layer}


def below(predictions: dict[str, object], bounds: dict[str, dict[str, float]]) -> list[str]:
    """Every prediction under its bound, in words. A kernel with bounds but without a prediction is one, too."""
    failures = []
    for name, of_cpus in bounds.items():
        for cpu, bound in of_cpus.items():
            prediction = predictions.get(name)
            assert prediction is None or isinstance(prediction, dict)
            values = (
                [prediction[part]["macs_per_cycle"][cpu] for part in ("block", "with_packed_output")]
                if prediction
                else [0.0]
            )
            if not all(value >= bound for value in values):
                failures.append(f"{name} on {cpu}: {min(values)} MACs per cycle, below the bound of {bound}")
    return failures


def version_of(program: str) -> str:
    lines = run([program, "--version"]).splitlines()
    return next(line.strip() for line in lines if "version" in line.lower() or re.search(r"\d+\.\d+\.\d+", line))


def main() -> int:
    parser = argparse.ArgumentParser(description="Predicted speed of the NEON kernels (llvm-mca)")
    parser.add_argument("folder", type=Path, metavar="BUILD_FOLDER", help="an AArch64 build")
    parser.add_argument("--check", type=Path, metavar="BOUNDS", help="a JSON file {kernel: {cpu: bound}}")
    parser.add_argument("--out", type=Path, help="where to write the predictions")
    arguments = parser.parse_args()

    made_by = {"llvm_mca": version_of(mca_tool()), "compiler": version_of(tool("CXX", "aarch64-linux-gnu-g++"))}
    print(f"PREDICTIONS, no measurements: {made_by['llvm_mca']}; {made_by['compiler']}")
    print(f"binary MACs per cycle, block/with packed output\n{'':12}" + "".join(f"{cpu:>14}" for cpu in CPUS))
    predictions: dict[str, object] = {}
    for kernel in KERNELS:
        predictions[kernel.name] = prediction = predict(kernel, arguments.folder)
        block, layer = prediction["block"], prediction["with_packed_output"]
        assert isinstance(block, dict)
        assert isinstance(layer, dict)
        rates = [f"{block['macs_per_cycle'][cpu]:.1f}/{layer['macs_per_cycle'][cpu]:.1f}" for cpu in CPUS]
        print(f"{kernel.name:12}" + "".join(f"{rate:>14}" for rate in rates) + f"   {kernel.layer}")
    if arguments.out:
        result = {"schema": 1, "kind": "predictions of llvm-mca, no measurements", **made_by, "kernels": predictions}
        arguments.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    failures = below(predictions, json.loads(arguments.check.read_text(encoding="utf-8"))) if arguments.check else []
    for failure in failures:
        print(failure, file=sys.stderr)
    return 1 if failures else 0


if __name__ == "__main__":
    run_study(main)
