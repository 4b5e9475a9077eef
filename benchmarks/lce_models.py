"""Models of Larq Compute Engine's own converter in stock LiteRT with our delegate, beside LCE's interpreter.

    python benchmarks/lce_models.py [--models DIR] [--images 1000] [--rounds 8] [--only NAME,..]
                                    [--out benchmarks/results/lce_models.json]

The models are made first, if they are not there: larq-zoo's architectures with random weights and a grouped network
(lce_models_make.py in .venv-zoo, scripts/zoo-env). What is compared and how: lce_models_worker.py. Asked: every binary
sum equal, every step within 1e-5 of its magnitudes, top-1 equal but for ties, which excuse at most 10 % of the images
(lce_top1.py); QuickNet at least 6 times faster than LCE with its indirect kernel and 30 times its default. Times are
minima of calls in turns, one thread.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from common import HERE, Board, Json, Samples, met, parser, progress, write_results

import bnn_deploy
from bnn_deploy.runtimes.lce import lce_python

FASTER = {"QuickNet": {"lce indirect": 6.0, "lce default": 30.0}}


def make_models(folder: Path) -> None:
    """Those that are not there yet; without an environment to make them in, what is there must do.

    Raises:
        SystemExit: there are none, and no such environment.
    """
    python = HERE.parent / ".venv-zoo" / "bin" / "python"
    if not python.is_file():
        if any(folder.glob("*.tflite")):
            progress(f"{python} is missing: no further models are made")
            return
        raise SystemExit(f"{python} is missing: scripts/zoo-env makes the environment of the models")
    subprocess.run([python, HERE / "lce_models_make.py", folder], check=True)


def ask(core: int, path: Path, what: str, count: int) -> Json:
    """The worker's answer."""
    library = str(bnn_deploy.litert_library_path())
    command = ["taskset", "-c", str(core), str(lce_python()), "-m", "benchmarks.lce_models_worker"]
    done = subprocess.run(
        [*command, library, str(path), what, str(count)],
        capture_output=True,
        text=True,
        cwd=HERE.parent,
        check=False,
    )
    if done.returncode:
        raise SystemExit(f"{path.name}: {done.stderr[-2000:]}")
    answer: Json = json.loads(done.stdout.splitlines()[-1])
    return answer


def main() -> int:
    """The command line; exit code 1 when something is wrong or missed."""
    made = parser(__doc__, "lce_models.json", 8)
    made.add_argument("--models", type=Path, default=HERE.parent / "build" / "lce-models")
    made.add_argument("--images", type=int, default=1000)
    made.add_argument("--only", default="", help="names, with commas between them")
    options = made.parse_args()
    make_models(options.models)
    board = Board(options.board, options.core)
    rows: list[Json] = []
    missed = 0
    for path in sorted(options.models.resolve().glob("*.tflite")):
        if options.only and path.stem not in options.only.split(","):
            continue
        progress(f"{path.stem}: times")
        rounds = ask(board.core, path, "time", options.rounds)["rounds"]
        assert isinstance(rounds, dict)
        times = {way: Samples(entries) for way, entries in rounds.items()}
        best = {way: samples.best_ns for way, samples in times.items()}
        ratios = {way: ns / best["delegate"] for way, ns in best.items() if way != "delegate"}
        verdicts = {way: met(ratio, FASTER.get(path.stem, {}).get(way)) for way, ratio in ratios.items()}
        figures = "   ".join(f"{way} {ratio:.1f} times {verdicts[way]}".rstrip() for way, ratio in ratios.items())
        print(f"{path.stem:16} {best['delegate'] / 1e6:7.2f} ms   {figures}", flush=True)
        progress(f"{path.stem}: answers")
        checked = ask(board.core, path, "check", options.images) if options.images else {}
        for name, result in checked.items():
            print(f"{'':16} {name}: {', '.join(f'{key} {value}' for key, value in result.items())}", flush=True)  # type: ignore[attr-defined]
            missed += not result["passed"]  # type: ignore[index]
        missed += list(verdicts.values()).count("MISSED")
        rows.append({"model": path.stem, "best_ns": best, "ratios": ratios, **checked, "rounds": rounds})
    progress(f"{missed} wrong or missed")
    write_results(options.out, {"board": board.to_json(), "models": rows})
    return int(missed > 0)


if __name__ == "__main__":
    sys.exit(main())
