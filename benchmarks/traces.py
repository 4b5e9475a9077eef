"""What a step executes, instruction by instruction, and what llvm-mca says of it.

`trace_rows` (native/bench/trace_rows.cc, a build with -DBNN_BENCH=ON) runs each step of a plan once between two marks.
qemu runs it and logs, first, the instructions of every block that it translates, then every block that it executes. So
no loop has to be found in the machine code, none is counted by hand, and what surrounds the loops is there as well.

The stream goes to llvm-mca as one long block. Calls and returns become plain branches: llvm-mca takes 100 cycles for
what it cannot see into, but here their bodies stand in the stream; so do the steps of x86's `rep movs`. Branches are
always guessed and caches always hit.
"""

from __future__ import annotations

import json
import re
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from programs import ProgramError, run, tool

from bnn_deploy.engine.bnn_file import plan_to_bytes
from bnn_deploy.steps import Step

PIECE = 60_000  # instructions that llvm-mca gets at a time
MARKS = ("trace_begin", "trace_end")
INSTRUCTION = re.compile(r"0x([0-9a-f]+):  ((?:[0-9a-f]{8}|(?:[0-9a-f]{2} ?)+))(?: +(\S.*))?$")  # of -d in_asm
BLOCK = re.compile(rb"/([0-9a-f]{16})/")  # the address in a line of -d exec


@dataclass(frozen=True)
class Machine:
    """How programs of an architecture are emulated, and its assembly treated."""

    triple: str
    qemu: tuple[str, ...]
    rewrites: tuple[tuple[str, str], ...]  # patterns of what llvm-mca cannot price, and what takes its place
    separator: str  # bytes of an instruction that no kernel has
    separated: str  # the same as llvm-mc prints it
    little_words: bool  # qemu prints instructions as numbers of 4 bytes
    features: tuple[str, ...]  # for llvm-mc and llvm-mca

    @property
    def emulator(self) -> str:
        if not shutil.which(self.qemu[0]):
            raise ProgramError(f"{self.qemu[0]} not found (Debian: qemu-user-static)")
        return self.qemu[0]


AARCH64 = Machine(
    triple="aarch64",
    qemu=("qemu-aarch64-static", "-cpu", "max"),
    rewrites=((r"(bl|blr|ret)\b.*", "b #0"),),
    separator="0x20 0x00 0x20 0xd4",
    separated="brk #0x1",
    little_words=True,
    features=("-mattr=+dotprod",),
)
X86_64 = Machine(
    triple="x86_64",
    qemu=("qemu-x86_64-static", "-cpu", "max"),
    rewrites=(
        (r"(call|ret)q?\b.*", "jmp 0"),
        (r"rep\s+movsq\b.*", "vmovq (%rsi), %xmm15\nvmovq %xmm15, (%rdi)"),  # one of its steps: qemu logs each
        (r"rep\s+stosq\b.*", "movq %rax, (%rdi)"),
    ),
    separator="0x0f 0x0b",
    separated="ud2",
    little_words=False,
    features=(),
)


@dataclass(frozen=True)
class Trace:
    """Of a row of a step, or of a whole pool or linear step."""

    step: Step
    kernel: str
    rows: int  # that the step has
    code: tuple[str, ...]  # assembly


class Tracer:
    """Traces steps with one build of `trace_rows`.

    Raises:
        ProgramError: a tool is missing, or the program failed.
    """

    def __init__(self, program: Path, machine: Machine) -> None:
        self._program, self._machine = program, machine
        symbols = {
            line.split()[-1]: int(line.split()[0], 16)
            for line in run(["nm", str(program)]).splitlines()[1:]
            if len(line.split()) == 3
        }
        self._marks = [symbols[name] for name in MARKS]

    def kernels(self, steps: Sequence[Step], isa: str) -> list[str]:
        """The kernel that each step runs with; nothing is traced."""
        with tempfile.TemporaryDirectory(prefix="bnn-trace-") as folder:
            plan = Path(folder) / "plan.bnn"
            plan.write_bytes(plan_to_bytes(steps))
            command = [self._machine.emulator, *self._machine.qemu[1:], str(self._program), "--plan", str(plan)]
            return [json.loads(line)["kernel"] for line in run([*command, "--isa", isa]).splitlines()]

    def trace(self, steps: Sequence[Step], isa: str) -> Iterator[Trace]:
        """One trace for each step, with the kernels of an instruction set or one kernel by its name."""
        with tempfile.TemporaryDirectory(prefix="bnn-trace-") as folder:
            plan, log = Path(folder) / "plan.bnn", Path(folder) / "log"
            plan.write_bytes(plan_to_bytes(steps))
            command = [self._machine.emulator, *self._machine.qemu[1:], "-D", str(log)]
            program = [str(self._program), "--plan", str(plan), "--isa", isa]
            run([*command, "-d", "in_asm,nochain", *program])
            blocks = self._blocks(log)
            log.unlink()
            records = [json.loads(line) for line in run([*command, "-d", "exec,nochain", *program]).splitlines()]
            streams = list(self._streams(log))
        if len(records) != len(steps) or len(streams) != len(steps):
            raise ProgramError(f"{len(records)} records and {len(streams)} traces of {len(steps)} steps")
        executed = sorted({address for stream in streams for address in stream})
        code = dict(zip(executed, self._disassemble([blocks[address] for address in executed]), strict=True))
        for step, record, stream in zip(steps, records, streams, strict=True):
            yield Trace(step, record["kernel"], record["rows"], tuple(line for at in stream for line in code[at]))

    def _blocks(self, log: Path) -> dict[int, str]:
        """Address of a block -> its bytes, as llvm-mc reads them."""
        found: dict[int, list[str]] = {}
        current: list[str] | None = None
        with log.open(encoding="utf-8", errors="replace") as lines:
            for line in lines:
                if line.startswith("IN:"):
                    current = []
                elif current is not None and (match := INSTRUCTION.match(line)):
                    if not current:
                        found[int(match[1], 16)] = current
                    parts = re.findall("..", match[2].replace(" ", ""))
                    current += reversed(parts) if self._machine.little_words else parts
        return {address: " ".join(f"0x{part}" for part in parts) for address, parts in found.items()}

    def _streams(self, log: Path) -> Iterator[list[int]]:
        """Addresses of the blocks executed between two marks."""
        begin, end = self._marks
        stream: list[int] | None = None
        with log.open("rb") as file:
            for line in file:
                match = BLOCK.search(line)
                if not match:
                    continue
                address = int(match[1], 16)
                if address == begin:
                    stream = []
                elif address == end and stream is not None:
                    yield stream
                    stream = None
                elif stream is not None:
                    stream.append(address)

    def _disassemble(self, blocks: Sequence[str]) -> list[list[str]]:
        """The assembly of each block; between two blocks goes an instruction that no block has."""
        source = "".join(f"{block}\n{self._machine.separator}\n" for block in blocks)
        command = [tool("LLVM_MC", "llvm-mc-19"), "-disassemble", f"-triple={self._machine.triple}"]
        printed = run([*command, *self._machine.features], source)
        found: list[list[str]] = [[]]
        for line in map(str.strip, printed.splitlines()):
            if line.split() == self._machine.separated.split():
                found.append([])
            elif line and not line.startswith("."):
                found[-1] += self._rewritten(line)
        if len(found) != len(blocks) + 1:
            raise ProgramError(f"llvm-mc printed {len(found) - 1} of {len(blocks)} blocks")
        return found[:-1]

    def _rewritten(self, line: str) -> list[str]:
        for pattern, text in self._machine.rewrites:
            if re.fullmatch(pattern, line):
                return text.split("\n")
        return [line]


def cycles(code: Sequence[str], machine: Machine, cpu: str) -> float:
    """What llvm-mca predicts for a stream."""
    total = 0
    for start in range(0, len(code), PIECE):
        text = "\n".join(code[start : start + PIECE]) + "\n"
        command = [tool("LLVM_MCA", "llvm-mca-19"), f"-mtriple={machine.triple}", f"-mcpu={cpu}", "-iterations=1"]
        match = re.search(
            r"Total Cycles:\s+(\d+)", run([*command, "-resource-pressure=0", "-instruction-info=0"], text)
        )
        if match is None:
            raise ProgramError("llvm-mca printed no total")
        total += int(match[1])
    return float(total)
