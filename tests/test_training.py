"""Training: what it learns, and above all that an interrupted run ends as if it had not been."""

from __future__ import annotations

import errno
import json
import math
import os
import shutil
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch

from bnn_deploy.architecture import Architecture, Block, Stem
from bnn_deploy.errors import BnnDeployError, DataError, FileFormatError
from bnn_deploy.layers import Binarization, Ste, SteKind
from bnn_deploy.training import (
    Data,
    EpochMetrics,
    Evaluation,
    Recipe,
    TrainResult,
    evaluate,
    load_data,
    new_model,
    new_supernet,
    train,
    train_supernet,
)
from bnn_deploy.training.checkpoint import load_weights
from bnn_deploy.training.loop import THREADS, fixed_threads
from bnn_deploy.training.losses import mixed_loss
from bnn_deploy.training.network_folder import NetworkFolder
from bnn_deploy.training.supernet import random_groups

TINY = Architecture(8, 8, 3, Stem(8, stride=1), (Block(8, 16, stride=2, groups=2), Block(16, 16, groups=4)), classes=10)
SHORT = Recipe(epochs=3, batch_size=256, real_weights=0.34, restart=True, weight_decay=1e-5)
ONE_EPOCH = Recipe(epochs=1, batch_size=256)
CHOICES = ((1, 2, 4), (1, 4))


@pytest.fixture(scope="module")
def data() -> Data:
    return load_data("digits", 8, 8)


class Interrupted(Exception):
    """What stands for a killed process in tests that need no process."""


def run(data: Data, folder: Path, *, stop_after: int | None = None, recipe: Recipe = SHORT, **options: float) -> bytes:
    """Trains TINY with seed 5; the bytes of the final weights."""

    def progress(metrics: EpochMetrics) -> None:
        if metrics.epoch == stop_after:
            raise Interrupted

    return train(
        new_model(TINY, recipe, 5), data, recipe, folder, seed=5, progress=progress, **options
    ).weights.read_bytes()


@pytest.fixture(scope="module")
def uninterrupted(data: Data, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return run(data, tmp_path_factory.mktemp("whole"))


@pytest.fixture
def interrupted(data: Data, tmp_path: Path) -> Path:
    """A run folder that stands after 2 of 3 epochs."""
    with pytest.raises(Interrupted):
        run(data, tmp_path, stop_after=2)
    return tmp_path


# --- interruption ---------------------------------------------------------------------------------------------------

KILL_SCRIPT = """
import os, random, signal, sys, time
import torch._dynamo  # Adam imports it at its first step: a second for each child
from pathlib import Path
from bnn_deploy.training import load_data, train
from tests.test_training import SHORT, TINY, new_model
data, folder, rng = load_data("digits", 8, 8), Path(sys.argv[1]), random.Random(int(sys.argv[2]))
kills, seen = 0, None
for round in range(20):  # ends: each child lives for at least one new checkpoint of the 15 there are
    child = os.fork()  # nothing was computed with torch's threads yet, so forking is safe
    if child == 0:
        train(new_model(TINY, SHORT, 5), data, SHORT, folder, seed=5, checkpoint_s=0.0)
        os._exit(0)
    wanted, ended = rng.randint(1, 4), 0
    while wanted and not ended:
        ended, status = os.waitpid(child, os.WNOHANG)
        now = (folder / "checkpoint.json").read_bytes() if (folder / "checkpoint.json").exists() else None
        wanted, seen = wanted - (now != seen), now
        time.sleep(0.0005)
    time.sleep(rng.uniform(0, 0.02))
    if not ended:
        os.kill(child, signal.SIGKILL)
        ended, status = os.waitpid(child, 0)
    if not os.WIFSIGNALED(status):
        print(kills)
        sys.exit(os.waitstatus_to_exitcode(status))
    kills += 1
"""


def test_killed_at_random_moments_ends_with_the_same_bits(tmp_path: Path, uninterrupted: bytes) -> None:
    root = Path(__file__).parents[1]
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", KILL_SCRIPT, str(tmp_path / "run"), "7"],
        cwd=root,
        env={**os.environ, "PYTHONPATH": str(root)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) >= 3
    assert (tmp_path / "run/weights.safetensors").read_bytes() == uninterrupted
    names = {path.name for path in (tmp_path / "run").iterdir()}
    checkpoint = "checkpoint-00003-000000.safetensors"
    assert names == {"metrics.jsonl", "checkpoint.json", checkpoint, "weights.safetensors"}


def test_resumes_after_an_epoch(interrupted: Path, data: Data, uninterrupted: bytes) -> None:
    assert run(data, interrupted) == uninterrupted


def test_resumes_within_an_epoch(
    data: Data, tmp_path: Path, uninterrupted: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = 0

    def broken_loss(*args: object) -> torch.Tensor:
        nonlocal calls
        calls += 1
        if calls == 7:  # of 4 batches an epoch
            raise Interrupted
        return mixed_loss(*args)  # type: ignore[arg-type]

    monkeypatch.setattr("bnn_deploy.training.single.mixed_loss", broken_loss)
    with pytest.raises(Interrupted):
        run(data, tmp_path, checkpoint_s=0.0)
    assert (tmp_path / "checkpoint-00001-000002.safetensors").exists()
    assert run(data, tmp_path) == uninterrupted
    assert calls == 13  # 6 done, 1 broken, 6 left


def test_starting_weights_come_from_the_checkpoint(interrupted: Path, data: Data, uninterrupted: bytes) -> None:
    other = new_model(TINY, SHORT, 99)
    assert train(other, data, SHORT, interrupted, seed=5).weights.read_bytes() == uninterrupted


def test_complete_run_returns_at_once(data: Data, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    weights = run(data, tmp_path)
    metrics = (tmp_path / "metrics.jsonl").read_bytes()
    monkeypatch.setattr("bnn_deploy.training.single.mixed_loss", None)  # no step is done
    model = new_model(TINY, SHORT, 0)
    result = train(model, data, SHORT, tmp_path, seed=5)
    assert result.weights.read_bytes() == weights
    assert (tmp_path / "metrics.jsonl").read_bytes() == metrics
    assert evaluate(model, data.val).accuracy == result.accuracy


def test_killed_between_checkpoint_and_metrics(interrupted: Path, data: Data, uninterrupted: bytes) -> None:
    path = interrupted / "metrics.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:-1]) + lines[-1][:20])  # the second epoch's line is torn
    assert run(data, interrupted) == uninterrupted
    assert [json.loads(line).get("epoch") for line in path.read_text().splitlines()] == [None, 1, 2, 3]


def test_killed_before_the_first_checkpoint_was_complete(data: Data, tmp_path: Path, uninterrupted: bytes) -> None:
    with pytest.raises(Interrupted):
        run(data, tmp_path, stop_after=1)
    journal = tmp_path / "metrics.jsonl"
    journal.write_bytes(journal.read_bytes().splitlines(keepends=True)[0])
    (tmp_path / "checkpoint.json").unlink()
    (tmp_path / "checkpoint-00001-000000.safetensors").rename(tmp_path / "checkpoint-00000-000000.safetensors")
    (tmp_path / ".checkpoint.json.1.part").write_bytes(b"{")
    assert run(data, tmp_path) == uninterrupted
    assert not list(tmp_path.glob(".*"))


def test_full_disk(data: Data, tmp_path: Path, uninterrupted: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    syncs, real = 0, os.fsync

    def fsync(handle: int) -> None:
        nonlocal syncs
        syncs += 1
        if syncs == 14:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real(handle)

    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(BnnDeployError, match=r"cannot be written: No space left on device; free some space"):
        run(data, tmp_path)
    assert not list(tmp_path.glob("*.part")) + list(tmp_path.glob(".*.part"))
    monkeypatch.setattr(os, "fsync", real)
    assert run(data, tmp_path) == uninterrupted


# --- damage and misuse ----------------------------------------------------------------------------------------------


def tensors_of(folder: Path) -> Path:
    (path,) = folder.glob("checkpoint-*.safetensors")
    return path


def test_truncated_or_altered_tensors(interrupted: Path, data: Data) -> None:
    path = tensors_of(interrupted)
    whole = path.read_bytes()
    for damaged in (whole[:-1], whole[:100], b"", whole[:-5] + bytes([whole[-5] ^ 1]) + whole[-4:]):
        path.write_bytes(damaged)
        with pytest.raises(FileFormatError, match=r"truncated or altered.*another run folder to start anew"):
            run(data, interrupted)
    path.unlink()
    with pytest.raises(FileFormatError, match=r"cannot be read \(No such file or directory\); restore"):
        run(data, interrupted)


def test_altered_or_missing_checkpoint_json(interrupted: Path, data: Data) -> None:
    path = interrupted / "checkpoint.json"
    whole = path.read_bytes()
    for damaged in (whole.replace(b'"epoch":2', b'"epoch":1', 1), whole[:30], b"", b"{}", b"\xff"):
        path.write_bytes(damaged)
        with pytest.raises(FileFormatError, match=r"checkpoint\.json: damaged .*; restore"):
            run(data, interrupted)
    path.unlink()
    with pytest.raises(FileFormatError, match=r"checkpoint\.json: missing, though checkpoint-00002"):
        run(data, interrupted)
    tensors_of(interrupted).unlink()
    with pytest.raises(FileFormatError, match=r"checkpoint\.json: missing, though 2 epochs were done"):
        run(data, interrupted)


def test_metrics_and_checkpoint_of_different_runs(interrupted: Path, data: Data) -> None:
    path = interrupted / "metrics.jsonl"
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:-2]))
    with pytest.raises(FileFormatError, match=r"do not belong together"):
        run(data, interrupted)


def test_other_settings_are_refused(interrupted: Path, data: Data) -> None:
    other_data = load_data("digits", 8, 8, seed=1)
    wider = replace(TINY, blocks=(Block(8, 16, stride=2, groups=4), Block(16, 16, groups=4)))
    model = new_model(TINY, SHORT, 5)
    with pytest.raises(BnnDeployError, match=r"other settings: seed was 5, is 6\. Use another run folder"):
        train(model, data, SHORT, interrupted, seed=6)
    with pytest.raises(
        BnnDeployError, match=r"recipe\.epochs was 3, is 4; recipe\.activation_ste\.clip was 1\.0, is 1\.5"
    ):
        train(model, data, replace(SHORT, epochs=4, activation_ste=Ste(clip=1.5)), interrupted, seed=5)
    with pytest.raises(BnnDeployError, match=r"data\.digest was"):
        train(model, other_data, SHORT, interrupted, seed=5)
    with pytest.raises(BnnDeployError, match=r"architecture\.blocks was"):
        train(new_model(wider, SHORT, 5), data, SHORT, interrupted, seed=5)
    with pytest.raises(BnnDeployError, match=r"teacher was None, is '[0-9a-f]{56}"):
        train(model, data, SHORT, interrupted, seed=5, teacher=new_model(TINY, SHORT, 1))


def test_folder_in_use(data: Data, tmp_path: Path) -> None:
    def progress(metrics: EpochMetrics) -> None:
        with pytest.raises(BnnDeployError, match="another process is writing it"):
            run(data, tmp_path)

    train(new_model(TINY, SHORT, 5), data, SHORT, tmp_path, seed=5, progress=progress)


def test_network_must_fit_the_data(data: Data, tmp_path: Path) -> None:
    for other in (replace(TINY, height=16), replace(TINY, classes=11)):
        with pytest.raises(DataError, match="the network expects"):
            train(new_model(other, SHORT, 0), data, SHORT, tmp_path / "run", seed=0)
        with pytest.raises(DataError, match="the network expects"):
            NetworkFolder(tmp_path / "run", other, "digits", SHORT, 0).train(data)
    assert not (tmp_path / "run").exists()


def test_teacher_must_fit_the_data(data: Data, tmp_path: Path) -> None:
    small = NetworkFolder(tmp_path / "teacher", replace(TINY, height=9, width=9), "digits", ONE_EPOCH, 0)
    small.train(small.load_data())
    taught = NetworkFolder(tmp_path / "taught", TINY, "digits", ONE_EPOCH, 0, teacher=small.path)
    with pytest.raises(DataError, match=r"the teacher in .*/teacher expects \(.*\) \(9, 9, 3, 10\)"):
        taught.train(data)
    assert not taught.path.exists()


def test_loss_that_is_not_finite(data: Data, tmp_path: Path) -> None:
    model = new_model(TINY, SHORT, 0)
    torch.nn.init.constant_(model.classifier.bias, math.nan)
    with pytest.raises(BnnDeployError, match=r"the loss became nan in epoch 1, batch 1; lower the learning rate"):
        train(model, data, SHORT, tmp_path, seed=0)


def test_validation_loss_that_is_not_finite(data: Data, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bnn_deploy.training.single.evaluate", lambda *_: Evaluation(0.1, math.nan))
    with pytest.raises(BnnDeployError, match=r"the validation loss became nan in epoch 1; lower the learning rate"):
        run(data, tmp_path)


def test_weights_of_another_network(data: Data, tmp_path: Path) -> None:
    run(data, tmp_path)
    with pytest.raises(FileFormatError, match="the weights of another network"):
        load_weights(tmp_path / "weights.safetensors", new_model(replace(TINY, classes=3), SHORT, 0))


def test_damaged_weights(data: Data, tmp_path: Path) -> None:
    run(data, tmp_path)
    path = tmp_path / "weights.safetensors"
    whole = path.read_bytes()
    path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    with pytest.raises(FileFormatError, match="altered"):
        load_weights(path, new_model(TINY, SHORT, 0))
    for content in (b"12345678901", b"", whole[:-1], safetensors.torch.save({"a": torch.zeros(1)})):
        path.write_bytes(content)
        with pytest.raises(FileFormatError, match="cannot be read as weights"):
            load_weights(path, new_model(TINY, SHORT, 0))
    path.unlink()
    with pytest.raises(FileFormatError, match="No such file"):
        load_weights(path, new_model(TINY, SHORT, 0))


# --- what training does ---------------------------------------------------------------------------------------------


def test_learns(data: Data, tmp_path: Path) -> None:
    recipe = Recipe(epochs=6, batch_size=64, learning_rate=1e-2)
    seen: list[EpochMetrics] = []
    model = new_model(TINY, recipe, 0)
    result = train(model, data, recipe, tmp_path, seed=0, progress=seen.append)
    assert isinstance(result, TrainResult)
    assert result.metrics == tuple(seen)
    assert [metrics.epoch for metrics in seen] == [1, 2, 3, 4, 5, 6]
    assert seen[-1].loss < seen[0].loss - 0.5
    assert result.accuracy > 0.4  # a guess is right in 0.1
    assert result.seconds == seen[-1].seconds > seen[0].seconds > 0
    assert not model.training
    fresh = new_model(TINY, recipe, 1)
    load_weights(result.weights, fresh)
    assert evaluate(fresh, data.val).accuracy == result.accuracy


def test_teacher_and_twin(data: Data, tmp_path: Path, uninterrupted: bytes) -> None:
    recipe = replace(SHORT, distillation=1.0)
    teacher = new_model(TINY, recipe.twin(), 0)
    train(teacher, data, recipe.twin(), tmp_path / "teacher", seed=0)
    assert {unit.sign.binarization for unit in list(teacher.units)[1:]} == {Binarization.NONE}
    before = {name: value.clone() for name, value in teacher.state_dict().items()}
    taught = train(new_model(TINY, recipe, 5), data, recipe, tmp_path / "taught", seed=5, teacher=teacher)
    assert taught.weights.read_bytes() != uninterrupted
    assert all(torch.equal(before[name], value) for name, value in teacher.state_dict().items())


def test_two_steps(data: Data, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Weights are real for the first third of the epochs, then binary; decay only while they are real."""
    recipe = replace(SHORT, epochs=6, real_weights=1 / 3)
    modes = [recipe.binarization_at(epoch) for epoch in range(6)]
    assert modes == [Binarization.ACTIVATIONS] * 2 + [Binarization.FULL] * 4
    decays: list[float] = []
    step = torch.optim.Adam.step

    def spy(self: torch.optim.Adam, *args: object) -> object:
        decays.append(self.param_groups[0]["weight_decay"])
        assert self.param_groups[1]["weight_decay"] == 0
        return step(self, *args)

    monkeypatch.setattr(torch.optim.Adam, "step", spy)
    run(data, tmp_path, recipe=recipe)
    assert decays == [1e-5] * 8 + [0.0] * 16


def test_new_model_follows_from_its_seed_and_leaves_torch_alone() -> None:
    torch.manual_seed(1)
    before = torch.get_rng_state()
    models = [new_model(TINY, SHORT, seed) for seed in (3, 3, 4)]
    assert torch.equal(torch.get_rng_state(), before)
    weights = [model.units[1].conv.weight for model in models]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


def test_threads_are_fixed_and_put_back() -> None:
    before = torch.get_num_threads()
    with fixed_threads(), fixed_threads(1):
        assert torch.get_num_threads() == 1
    with fixed_threads():
        assert torch.get_num_threads() == THREADS
    assert torch.get_num_threads() == before


# --- the supernet ---------------------------------------------------------------------------------------------------

SUPERNET_RECIPE = Recipe(epochs=2, batch_size=256, distillation=1.0)


def run_supernet(data: Data, folder: Path, stop_after: int | None = None, checkpoint_s: float = 300) -> bytes:
    def progress(metrics: EpochMetrics) -> None:
        if metrics.epoch == stop_after:
            raise Interrupted

    supernet = new_supernet(TINY, CHOICES, SUPERNET_RECIPE, 2)
    result = train_supernet(
        supernet, data, SUPERNET_RECIPE, folder, seed=2, progress=progress, checkpoint_s=checkpoint_s
    )
    assert supernet.groups == (1, 1)
    return result.weights.read_bytes()


def test_supernet_resumes_exactly(data: Data, tmp_path: Path) -> None:
    whole = run_supernet(data, tmp_path / "whole")
    with pytest.raises(Interrupted):
        run_supernet(data, tmp_path / "parts", stop_after=1)
    assert run_supernet(data, tmp_path / "parts", checkpoint_s=0.0) == whole


def test_supernet_folder_is_not_a_network_folder(data: Data, tmp_path: Path) -> None:
    run_supernet(data, tmp_path)
    with pytest.raises(BnnDeployError, match="task was 'supernet', is 'network'"):
        train(new_model(TINY, SUPERNET_RECIPE, 2), data, SUPERNET_RECIPE, tmp_path, seed=2)


def test_every_choice_is_trained(data: Data, tmp_path: Path) -> None:
    supernet = new_supernet(TINY, CHOICES, SUPERNET_RECIPE, 2)
    before = {name: value.clone() for name, value in supernet.state_dict().items()}
    train_supernet(supernet, data, replace(SUPERNET_RECIPE, random_subnets=3), tmp_path, seed=2)
    unchanged = [name for name, value in supernet.state_dict().items() if torch.equal(before[name], value)]
    assert unchanged == []


def test_random_groups() -> None:
    drawn = [random_groups(CHOICES, 2, seed=0, epoch=1, batch=batch) for batch in range(200)]
    assert drawn[7] == random_groups(CHOICES, 2, seed=0, epoch=1, batch=7)
    assert drawn != [random_groups(CHOICES, 2, seed=1, epoch=1, batch=batch) for batch in range(200)]
    counts = np.unique([groups[0] for pair in drawn for groups in pair], return_counts=True)
    assert counts[0].tolist() == [1, 2, 4]
    assert min(counts[1]) > 100  # of 400, 133 expected


def test_new_model_has_the_architecture_and_the_gradients_of_its_recipe() -> None:
    recipe = replace(SHORT, activation_ste=Ste(SteKind.CLIPPED_IDENTITY, 1.25), weight_ste=Ste(clip=0.5))
    model = new_model(TINY, recipe, 0)
    assert model.architecture == TINY
    assert [unit.conv.groups for unit in model.units[1::2]] == [2, 4]
    assert {unit.sign.ste for unit in model.units[1:]} == {recipe.activation_ste}


def test_checkpoint_holds_no_pickle(interrupted: Path) -> None:
    tensors = safetensors.torch.load_file(tensors_of(interrupted))
    assert "model.classifier.weight" in tensors
    assert "adam.classifier.weight.exp_avg_sq" in tensors
    assert {path.suffix for path in interrupted.iterdir()} == {".json", ".jsonl", ".safetensors"}


def test_copied_folder_resumes(interrupted: Path, data: Data, tmp_path: Path, uninterrupted: bytes) -> None:
    copy = tmp_path.parent / f"{tmp_path.name}-copy"
    shutil.copytree(interrupted, copy)
    assert run(data, copy) == uninterrupted


# --- folders of networks --------------------------------------------------------------------------------------------


def train_with_teacher(root: Path, data: Data, stop: bool = False) -> TrainResult:
    """A teacher, and the network it teaches; `stop` interrupts the second after its first epoch."""

    def progress(metrics: EpochMetrics) -> None:
        if stop:
            raise Interrupted

    NetworkFolder(root / "teacher", TINY, "digits", ONE_EPOCH, 0).train(data)
    recipe = replace(ONE_EPOCH, epochs=2, distillation=0.5)
    return NetworkFolder(root / "taught", TINY, "digits", recipe, 5, root / "teacher").train(data, progress)


def test_moved_folders_open_and_resume(data: Data, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = train_with_teacher(tmp_path / "whole", data)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(Interrupted):
        train_with_teacher(Path("runs"), data, stop=True)
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "runs").rename(tmp_path / "elsewhere/moved")
    monkeypatch.chdir(tmp_path / "elsewhere/moved/taught")
    opened = NetworkFolder.open(Path())
    assert opened.teacher == tmp_path / "elsewhere/moved/teacher"
    assert opened.train(data).weights.read_bytes() == whole.weights.read_bytes()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert train_with_teacher(Path("moved"), data).metrics[-1].accuracy == whole.accuracy
    assert train_with_teacher(tmp_path / "elsewhere/moved", data).metrics[-1].accuracy == whole.accuracy


def test_another_teacher_is_refused(data: Data, tmp_path: Path) -> None:
    train_with_teacher(tmp_path, data)
    opened = NetworkFolder.open(tmp_path / "taught")
    with pytest.raises(BnnDeployError, match=r'holds a run with teacher = "../teacher", this one has null'):
        replace(opened, teacher=None).train(data)


def test_seconds_cover_all_sittings(data: Data, tmp_path: Path) -> None:
    with pytest.raises(Interrupted):
        run(data, tmp_path, stop_after=1)
    time.sleep(0.3)  # between sittings: not counted
    begin = time.monotonic()
    second = train(new_model(TINY, SHORT, 5), data, SHORT, tmp_path, seed=5)
    assert second.metrics[0].seconds < second.seconds < second.metrics[0].seconds + time.monotonic() - begin
    assert train(new_model(TINY, SHORT, 5), data, SHORT, tmp_path, seed=5).seconds == second.seconds
