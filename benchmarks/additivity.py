"""Where a network takes longer than its steps: networks that grow block by block, beside the sums of their steps.

    python benchmarks/additivity.py [--per-group 8] [--rounds 10]

Block k's share is network k minus network k - 1, beside the two rows of its steps. (The first networks end in a
large tensor, which the pool reads whole: look at the differences.) Everything takes turns in each round; figures
are minima of the run: run it on a quiet machine, with few channels per group (8: the kernels of small groups) and
without groups (0: dense).
"""

from __future__ import annotations

import sys
import tempfile
from dataclasses import replace
from pathlib import Path

from common import Board, Samples, parser, progress, write_plan, write_results

from bnn_deploy.engine.bnn_file import write_bnn
from bnn_deploy.engine.invented import invented_graph
from bnn_deploy.space import load_space
from bnn_deploy.steps import plan

NET = ["--samples", "20", "--min-sample-ns", "1000000", "--warmup-ns", "5000000"]
LAYERS = ["--samples", "15", "--min-sample-ns", "300000", "--warmup-ns", "3000000"]


def main() -> int:
    options = parser(__doc__, "additivity.json", 10)
    options.add_argument("--space", default="mobilenet-224")
    options.add_argument("--per-group", type=int, default=8, help="channels of a group; 0: no groups (8)")
    arguments = options.parse_args()
    board = Board(arguments.board, arguments.core)
    base = load_space(arguments.space).base
    per = arguments.per_group
    base = base.with_groups(tuple(max(1, block.channels_in // per) if per else 1 for block in base.blocks))
    nets = [replace(base, blocks=base.blocks[:count], classes=10) for count in range(1, len(base.blocks) + 1)]
    steps = list(dict.fromkeys(step for net in nets for step in plan(net)))
    whole, alone = [Samples() for _ in nets], {step: Samples() for step in steps}
    with tempfile.TemporaryDirectory(prefix="bnn-additivity-") as folder:
        models = [Path(folder) / f"{count}.bnn" for count in range(len(nets))]
        for model, net in zip(models, nets, strict=True):
            write_bnn(model, invented_graph(net))
        written = write_plan(Path(folder) / "plan.bnn", steps)
        for number in range(arguments.rounds):
            progress(f"round {number + 1} of {arguments.rounds}")
            for model, samples in zip(models, whole, strict=True):
                (record,) = board.lines(["net", "--model", str(model), *board.pinned, *NET])
                samples.add(record)
            for step, record in zip(steps, board.layers(written, LAYERS), strict=True):
                alone[step].add(record)
    sums = [sum(alone[step].best_ns for step in plan(net)) for net in nets]
    print(f"{'blocks':>6}{'whole us':>10}{'sum us':>10}{'block us':>10}{'rows us':>10}{'sum':>9}  the block's steps")
    before_whole = before_sum = 0.0
    for count, (net, samples, total) in enumerate(zip(nets, whole, sums, strict=True), start=1):
        block, rows = samples.best_ns - before_whole, total - before_sum
        columns = [samples.best_ns / 1e3, total / 1e3, block / 1e3, rows / 1e3]
        keys = ", ".join(step.key for step in plan(net)[-4:-2])
        print(
            f"{count:>6}"
            + "".join(f"{value:>10.1f}" for value in columns)
            + f"{total / samples.best_ns - 1:>+9.1%}  {keys}"
        )
        before_whole, before_sum = samples.best_ns, total
    write_results(
        arguments.out,
        {
            "device": board.to_json(),
            "per_group": per,
            "whole": [{"best_ns": samples.best_ns, "median_ns": samples.median_ns} for samples in whole],
            "sums_ns": sums,
            "steps": {step.key: samples.best_ns for step, samples in alone.items()},
        },
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
