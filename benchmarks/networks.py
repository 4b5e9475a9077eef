"""Whole networks at 224x224 beside MobileNetV1 in LiteRT with XNNPACK: one run, batch 1; and where the time goes.

    python benchmarks/networks.py --mobilenet-int8 FILE [--rounds 16] [--out benchmarks/results/networks.json]

Random constants. In each round every network and peer is timed in turn, and `bnn-board peak` between them; figures are
minima over the run.

Steps: each timed alone by `bnn-board layers`; a binary one also without its float epilogue (integer threshold, packed
out), which splits it into convolution and the rest. Their sum is compared with the whole network.

Floor: binary MACs at the register-resident peak, plus float work (stem and classifier, and 4 operations per output of
a binary step) at the peak of fused multiply-adds, plus traffic (the constants once, and each tensor between two
segments written and read once) at the rate of a copy of that size on the same core; nothing overlaps. The best kernels
overlap some of it, so it is a yardstick and not a proof.

Resident memory is the peak that the system notes for the process of `bnn-board net` (VmHWM).
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from subprocess import DEVNULL, Popen

from common import (
    Board,
    Json,
    Peak,
    Samples,
    Worker,
    met,
    parser,
    peers_python,
    progress,
    write_plan,
    write_results,
)

from bnn_deploy.engine.bnn_file import write_bnn
from bnn_deploy.engine.invented import invented_graph
from bnn_deploy.references import reference
from bnn_deploy.steps import Shortcut, Step, StepKind

TARGETS = {"uniform-g8": 0.6, "reactnet-a": 1.4}  # of MobileNetV1 int8's time, at most
STRICT = "reactnet-a"  # the network that threads and memory are judged on
TWO_THREADS = 1.6
EXTRA_BYTES = 12 << 20  # resident memory beyond the model's
SUM_PERCENT = 5.0  # between the sum of the steps and the whole
FLOAT_OPERATIONS = 4  # per output of a binary step: scale and bias, shortcut, slope of RPReLU, zeta
NET_ARGUMENTS = ["--samples", "40", "--min-sample-ns", "1", "--warmup-ns", "50000000"]
STEP_ARGUMENTS = ["--samples", "15", "--min-sample-ns", "300000", "--warmup-ns", "3000000"]
PEER_SECONDS = 0.5
TIMES = ("iterations", "samples_ns", "sentinel_ns", "warmup_ns")  # of a record; the rest says what ran


def bare(step: Step) -> Step:
    """A binary convolution without what a network puts around it."""
    return replace(step, shortcut=Shortcut.NONE, rprelu=False, float_out=False, bits_out=True)


def tensor_bytes(step: Step) -> int:
    """What a step writes: floats and bits."""
    outputs = step.out_height * step.out_width * step.out_channels
    return 4 * outputs * step.float_out + outputs // 8 * step.bits_out


@dataclass
class Network:
    """A network's file and its times."""

    name: str
    model: Path
    bare_plan: Path
    steps: tuple[Step, ...]
    whole: dict[int, Samples] = field(default_factory=dict)  # by number of threads
    alone: list[Samples] = field(default_factory=list)
    bare: dict[int, Samples] = field(default_factory=dict)  # of the binary steps, by index
    kernels: list[str] = field(default_factory=list)
    segments: list[int] = field(default_factory=list)  # first step of each
    board_record: Json = field(default_factory=dict)
    resident_bytes: int = 0

    @classmethod
    def make(cls, name: str, folder: Path) -> Network:
        graph = invented_graph(reference(name))
        steps = tuple(deploy.step for deploy in graph.steps)
        model = folder / f"{name}.bnn"
        write_bnn(model, graph)
        binary = [index for index, step in enumerate(steps) if step.kind is StepKind.BCONV2D]
        bare_plan = write_plan(folder / f"{name}-bare.bnn", [bare(steps[index]) for index in binary])
        made = cls(name, model, bare_plan, steps)
        made.alone = [Samples() for _ in steps]
        made.bare = {index: Samples() for index in binary}
        return made

    def time_whole(self, board: Board, threads: int) -> None:
        command = ["net", "--model", str(self.model), *NET_ARGUMENTS]
        # More threads take the cores that follow the first.
        command += ["--threads", str(threads), "--core", "0"] if threads > 1 else board.pinned
        (record,) = board.lines(command)
        self.whole.setdefault(threads, Samples()).add(record)
        if threads == 1:
            first: list[int] = record.get("segments", range(len(self.steps)))  # type: ignore[assignment]
            self.segments = list(first)
            self.board_record = {key: value for key, value in record.items() if key not in TIMES}

    def time_steps(self, board: Board) -> None:
        records = board.layers(self.model, STEP_ARGUMENTS)
        self.kernels = [str(record["kernel"]) for record in records]
        for samples, record in zip(self.alone, records, strict=True):
            samples.add(record)
        bare_records = board.layers(self.bare_plan, STEP_ARGUMENTS)
        for samples, record in zip(self.bare.values(), bare_records, strict=True):
            samples.add(record)

    def measure_memory(self, board: Board) -> None:
        """Asks the system while the process runs: wait4's ru_maxrss would count this Python too, from before exec."""
        command = [str(board.binary), "net", "--model", str(self.model), *board.pinned, *NET_ARGUMENTS]
        process = Popen(command, stdout=DEVNULL)  # returns when the board binary has taken the process over
        status = Path(f"/proc/{process.pid}/status")
        while process.poll() is None:
            for line in status.read_text().splitlines():
                if line.startswith("VmHWM:"):
                    self.resident_bytes = int(line.split()[1]) << 10
            time.sleep(0.005)
        if process.returncode != 0 or not self.resident_bytes:
            raise SystemExit(f"bnn-board net: exit code {process.returncode}")

    def copy_sizes(self) -> list[int]:
        """Sizes whose copy rate the floor needs."""
        return sorted({tensor_bytes(step) for step in self.steps} | {self.model.stat().st_size})

    def floor(self, peak: Peak) -> dict[str, float]:
        """Its parts, ns."""
        macs = sum(step.macs for step in self.steps if step.kind is StepKind.BCONV2D)
        float_macs = 0
        for step in self.steps:
            outputs = step.out_height * step.out_width * step.out_channels
            float_macs += FLOAT_OPERATIONS * outputs if step.kind is StepKind.BCONV2D else step.macs
        constants = self.model.stat().st_size
        traffic_ns = constants / peak.traffic_per_ns(constants)
        for following in self.segments[1:]:
            size = tensor_bytes(self.steps[following - 1])
            traffic_ns += 2 * size / peak.traffic_per_ns(size)
        parts = {
            "binary_ns": macs / peak.macs_per_ns,
            "float_ns": float_macs / peak.float_macs_per_ns,
            "traffic_ns": traffic_ns,
        }
        return {**parts, "sum_ns": sum(parts.values())}

    def to_json(self, peak: Peak) -> Json:
        steps: list[Json] = []
        for index, step in enumerate(self.steps):
            line: Json = {
                "step": step.key,
                "kernel": self.kernels[index],
                "best_ns": self.alone[index].best_ns,
                "macs": step.macs,
            }
            if index in self.bare:
                line["bare_ns"] = self.bare[index].best_ns
                line["at_peak_ns"] = step.macs / peak.macs_per_ns
                line["bare_rounds"] = self.bare[index].rounds
            steps.append({**line, "rounds": self.alone[index].rounds})
        return {
            "network": self.name,
            "model_bytes": self.model.stat().st_size,
            "peak_resident_bytes": self.resident_bytes,
            "board": self.board_record,
            "best_ns": {str(threads): samples.best_ns for threads, samples in self.whole.items()},
            "median_ns": {str(threads): samples.median_ns for threads, samples in self.whole.items()},
            "sum_of_steps_ns": self.sum_ns,
            "floor": self.floor(peak),
            "rounds": {str(threads): samples.rounds for threads, samples in self.whole.items()},
            "steps": steps,
        }

    @property
    def sum_ns(self) -> float:
        return sum(samples.best_ns for samples in self.alone)


def show_steps(network: Network, peak: Peak) -> None:
    """Where the time goes."""
    total = network.sum_ns
    print(f"\n{network.name}: steps measured alone, us")
    print(f"{'step':<80}{'us':>9}{'share':>7}{'conv.':>9}{'rest':>8}{'at peak':>9}")
    sums = {"binary convolution, alone": 0.0, "the rest of these steps": 0.0}
    for index, step in enumerate(network.steps):
        own = network.alone[index].best_ns
        columns = ""
        if index in network.bare:
            convolution = min(network.bare[index].best_ns, own)
            sums["binary convolution, alone"] += convolution
            sums["the rest of these steps"] += own - convolution
            at_peak = step.macs / peak.macs_per_ns
            columns = f"{convolution / 1e3:>9.1f}{(own - convolution) / 1e3:>8.1f}{at_peak / 1e3:>9.1f}"
        else:
            sums[step.kind.value] = sums.get(step.kind.value, 0.0) + own
        print(f"{step.key:<80}{own / 1e3:>9.1f}{100 * own / total:>6.1f}%{columns}")
    print("; ".join(f"{name} {ns / 1e3:.0f} us ({100 * ns / total:.1f} %)" for name, ns in sums.items()))


def show(networks: list[Network], peers: Mapping[str, Samples], peak: Peak) -> int:
    """Tables and verdicts; returns how many targets were missed."""
    for network in networks:
        show_steps(network, peak)
    print(f"\n{'':<30}{'ms':>8}{'median':>8}{'/ int8':>8}{'floor ms':>10}{'above':>7}  binary + float + traffic")
    int8_ns = peers["mobilenet_v1_int8"].best_ns
    for name, samples in peers.items():
        ms, median = samples.best_ns / 1e6, samples.median_ns / 1e6
        print(f"{name:<30}{ms:>8.3f}{median:>8.3f}{samples.best_ns / int8_ns:>8.2f}")
    for network in networks:
        floor = network.floor(peak)
        parts = " + ".join(f"{floor[part] / 1e6:.3f}" for part in ("binary_ns", "float_ns", "traffic_ns"))
        for threads, samples in network.whole.items():
            ns = samples.best_ns
            text = f"{network.name}, {threads} thread{'s' * (threads > 1)}"
            own_floor = f"{floor['sum_ns'] / 1e6:>10.3f}{ns / floor['sum_ns']:>6.2f}x  {parts}" if threads == 1 else ""
            print(f"{text:<30}{ns / 1e6:>8.3f}{samples.median_ns / 1e6:>8.3f}{ns / int8_ns:>8.2f}{own_floor}")
    missed = 0
    print()
    for network in networks:
        for text, value, target, at_most in verdicts(network, int8_ns):
            word = met(value, target, at_most)
            missed += word == "MISSED"
            limit = f"{'<=' if at_most else '>='} {target:g}" if target is not None else "-"
            print(f"{word or '-':<7}{limit:<9} {network.name}: {text}")
    return missed


def verdicts(network: Network, int8_ns: float) -> list[tuple[str, float, float | None, bool]]:
    """What was asked for: description, value, target, whether the value must not be larger."""
    one = network.whole[1].best_ns
    difference = 100 * abs(network.sum_ns - one) / one
    strict = network.name == STRICT
    mib = 1 << 20
    extra = (network.resident_bytes - network.model.stat().st_size) / mib
    sizes = f"{network.resident_bytes / mib:.1f} MiB, model {network.model.stat().st_size / mib:.1f} MiB"
    found: list[tuple[str, float, float | None, bool]] = [
        (f"{one / int8_ns:.3f} times MobileNetV1 int8", one / int8_ns, TARGETS[network.name], True),
        (f"sum of steps {network.sum_ns / one:.3f} of the whole", difference, SUM_PERCENT, True),
        (f"{extra:.1f} MiB resident beside the model ({sizes})", extra, EXTRA_BYTES / mib if strict else None, True),
    ]
    for threads in network.whole:
        if threads > 1:
            gain = one / network.whole[threads].best_ns
            found.append((f"{threads} threads {gain:.2f} times as fast", gain, TWO_THREADS if strict else None, False))
    return found


def main() -> int:
    options = parser(__doc__, "networks.json", 16)
    options.add_argument("--mobilenet-int8", type=Path, required=True, help="MobileNetV1 int8, 224x224, .tflite")
    options.add_argument("--peers-python", type=Path, help="default: .venv-peers/bin/python")
    options.add_argument("--threads", type=int, default=2, help="beside one thread; 1: leave it out (2)")
    arguments = options.parse_args()
    board = Board(arguments.board, arguments.core)
    worker = Worker(peers_python(arguments.peers_python), "peers_worker.py", board.core)
    models = {
        "mobilenet_v1_int8": str(arguments.mobilenet_int8.resolve()),
        "mobilenet_v1_float32": "tflite_mobilenet_v1",
    }
    peers = {name: Samples() for name in models}
    peak = Peak(board, board.best_isa)
    with tempfile.TemporaryDirectory(prefix="bnn-networks-") as folder:
        networks = [Network.make(name, Path(folder)) for name in TARGETS]
        for number in range(arguments.rounds):
            progress(f"round {number + 1} of {arguments.rounds}")
            for network in networks:
                for name, model in models.items():
                    job = {"runtime": "litert", "seconds": PEER_SECONDS, "model": model, "arguments": {}}
                    peers[name].add({"iterations": 1, **worker.ask(job)})
                for threads in sorted({1, arguments.threads}):
                    network.time_whole(board, threads)
                network.time_steps(board)
                for size in network.copy_sizes():
                    peak.sample(size)
        for network in networks:
            network.measure_memory(board)
        worker.close()
        missed = show(networks, peers, peak)
        results: Json = {
            "device": board.to_json(),
            "settings": {"rounds": arguments.rounds, "net": NET_ARGUMENTS, "steps": STEP_ARGUMENTS},
            "peak": peak.to_json(),
            "peers": {name: {"best_ns": samples.best_ns, "rounds": samples.rounds} for name, samples in peers.items()},
            "networks": [network.to_json(peak) for network in networks],
        }
    print(f"\n{missed} targets missed")
    write_results(arguments.out, results)
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
