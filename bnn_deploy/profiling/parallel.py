"""Several boards at once, each in a thread of its own: the boards work, this computer waits."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bnn_deploy.errors import BnnDeployError
from bnn_deploy.latency.table import LatencyTable
from bnn_deploy.profiling.device import open_device
from bnn_deploy.profiling.profile import profile
from bnn_deploy.profiling.protocol import Limits, ProfileSettings
from bnn_deploy.profiling.session import Progress
from bnn_deploy.steps import Step


@dataclass(frozen=True, slots=True)
class Job:
    """One device's table.

    Args:
        device: its name.
        path: of the table.
        settings, limits, seed, allow_emulated, progress: see profile().
    """

    device: str
    path: Path
    settings: ProfileSettings
    limits: Limits
    seed: int
    allow_emulated: bool
    progress: Progress


def profile_all(jobs: Sequence[Job], steps: Sequence[Step]) -> list[LatencyTable | BnnDeployError]:
    """Do all jobs at once; one that fails does not disturb the others, its error stands in its place.

    An interruption (Ctrl-C) ends each after the block that it is measuring, and is raised again.
    """
    stop = threading.Event()
    results: dict[int, LatencyTable | BnnDeployError] = {}
    unexpected: list[BaseException] = []

    def work(index: int) -> None:
        try:
            results[index] = _one(jobs[index], steps, stop)
        except BnnDeployError as exc:
            results[index] = exc
        except BaseException as exc:
            unexpected.append(exc)

    threads = [threading.Thread(target=work, args=(index,), name=job.device) for index, job in enumerate(jobs)]
    for thread in threads:
        thread.start()
    try:
        for thread in threads:
            thread.join()
    except BaseException:
        stop.set()
        for thread in threads:
            thread.join()
        raise
    if unexpected:
        raise unexpected[0]
    return [results[index] for index in range(len(jobs))]


def _one(job: Job, steps: Sequence[Step], stop: threading.Event) -> LatencyTable:
    with open_device(job.device) as device:
        return profile(
            steps,
            device,
            job.path,
            settings=job.settings,
            limits=job.limits,
            seed=job.seed,
            allow_emulated=job.allow_emulated,
            progress=job.progress,
            stop=stop,
        )
