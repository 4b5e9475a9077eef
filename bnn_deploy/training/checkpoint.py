"""The state of a training on disk: tensors in safetensors, the rest in one line of JSON. No pickle.

A checkpoint is written in two moves, each atomic: first `checkpoint-EPOCH-BATCH.safetensors`, then `checkpoint.json`,
which names that file and its SHA-256. Only then is the tensor file before it removed. So whatever moment a run dies
at, `checkpoint.json` and the file it names belong together.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor, nn

from bnn_deploy.errors import FileFormatError
from bnn_deploy.journal import decode_line, encode_line, write_atomically

SCHEMA = 1  # 1: first version
_HELP = "restore the file from a copy, or use another run folder to start anew"
_HEADER = "bnn-deploy"  # the one key of a weights file's metadata


@dataclass(frozen=True, slots=True)
class Position:
    """Where a training stands.

    Args:
        epoch, batch: the next step to do, both from 0.
        loss_sum: of this epoch's batches so far.
        seconds: spent so far, over all sittings.
    """

    epoch: int = 0
    batch: int = 0
    loss_sum: float = 0.0
    seconds: float = 0.0


class CheckpointFile:
    """The checkpoint of one run folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.path = folder / "checkpoint.json"

    def save(self, position: Position, tensors: Mapping[str, Tensor], last: Mapping[str, object] | None) -> None:
        """Replaces the checkpoint.

        Args:
            last: the newest line of the metrics, in case the run dies before it is there.

        Raises:
            BnnDeployError: the disk refuses; the checkpoint before is still whole.
        """
        name = f"checkpoint-{position.epoch:05d}-{position.batch:06d}.safetensors"
        data = safetensors.torch.save({key: _plain(value) for key, value in tensors.items()})
        write_atomically(self.folder / name, data)
        record = {"kind": "checkpoint", "schema": SCHEMA, "tensors": name, "sha256": hashlib.sha256(data).hexdigest()}
        write_atomically(self.path, encode_line({**record, "position": asdict(position), "last": last}))
        for other in self._tensor_files():
            if other.name != name:
                other.unlink()

    def load(self) -> tuple[Position, dict[str, Tensor], dict[str, object] | None] | None:
        """What save was given, or None when no checkpoint was ever completed here.

        Raises:
            FileFormatError: a part is missing, truncated, altered or of another schema.
        """
        if not self.path.exists():
            strays = [path.name for path in self._tensor_files() if "-00000-000000." not in path.name]
            if strays:
                raise FileFormatError(f"{self.path}: missing, though {strays[0]} is there; {_HELP}")
            return None
        try:
            record = decode_line(self.path.read_bytes())
        except (OSError, ValueError) as exc:
            raise FileFormatError(f"{self.path}: damaged ({exc}); {_HELP}") from exc
        if record.get("kind") != "checkpoint" or record.get("schema") != SCHEMA:
            raise FileFormatError(
                f"{self.path}: expected a checkpoint of schema {SCHEMA}, found {record.get('kind')!r} of "
                f"{record.get('schema')!r}; resume with the version that made it, or use another run folder"
            )
        tensors = self._read_tensors(self.folder / str(record["tensors"]), str(record["sha256"]))
        position, last = record["position"], record["last"]
        assert isinstance(position, dict)
        assert last is None or isinstance(last, dict)
        return Position(**position), tensors, last

    def _tensor_files(self) -> list[Path]:
        return sorted(self.folder.glob("checkpoint-*.safetensors"))

    def _read_tensors(self, path: Path, sha256: str) -> dict[str, Tensor]:
        try:
            data = path.read_bytes()
        except OSError as exc:
            raise FileFormatError(f"{path}: cannot be read ({exc.strerror}); {_HELP}") from exc
        if hashlib.sha256(data).hexdigest() != sha256:
            raise FileFormatError(f"{path}: truncated or altered (its SHA-256 is not the one noted); {_HELP}")
        try:
            return safetensors.torch.load(data)
        except SafetensorError as exc:
            raise FileFormatError(f"{path}: not a safetensors file ({exc}); {_HELP}") from exc


def training_state(model: nn.Module, optimizer: torch.optim.Adam) -> dict[str, Tensor]:
    """Weights, buffers and Adam's moments by name: `model.NAME`, `adam.NAME.exp_avg` and so on."""
    tensors = {f"model.{name}": value for name, value in model.state_dict().items()}
    for name, parameter in model.named_parameters():
        for key, value in optimizer.state.get(parameter, {}).items():
            tensors[f"adam.{name}.{key}"] = value
    return tensors


def restore_training_state(
    model: nn.Module, optimizer: torch.optim.Adam, tensors: Mapping[str, Tensor], path: Path
) -> None:
    """Inverse of training_state.

    Raises:
        FileFormatError: the tensors are those of another network.
    """
    weights = {key.removeprefix("model."): value for key, value in tensors.items() if key.startswith("model.")}
    try:
        model.load_state_dict(weights)
    except RuntimeError as exc:
        raise FileFormatError(
            f"{path}: does not fit the network ({str(exc).splitlines()[-1].strip()}); {_HELP}"
        ) from exc
    optimizer.state.clear()
    for name, parameter in model.named_parameters():
        for key in ("step", "exp_avg", "exp_avg_sq"):
            value = tensors.get(f"adam.{name}.{key}")
            if value is None:
                continue
            if key != "step":
                value = value.to(parameter.device).contiguous(memory_format=_format_of(parameter))
            elif optimizer.defaults["fused"]:
                value = value.to(parameter.device)
            optimizer.state[parameter][key] = value


def save_weights(path: Path, model: nn.Module, facts: Mapping[str, object]) -> None:
    """Weights and buffers alone, with JSON-ready facts and the weights' digest in the header.

    The header is one string, as safetensors writes several in an order that changes from process to process.

    Raises:
        BnnDeployError: the disk refuses.
    """
    tensors = {name: _plain(value) for name, value in model.state_dict().items()}
    header = json.dumps({"schema": SCHEMA, "sha256": weights_digest(tensors), **facts}, sort_keys=True)
    write_atomically(path, safetensors.torch.save(tensors, metadata={_HEADER: header}))


def load_weights(path: Path, model: nn.Module) -> None:
    """Inverse of save_weights.

    Raises:
        FileFormatError: unreadable, truncated, altered, or the weights of another network.
    """
    try:
        data = path.read_bytes()
        tensors = safetensors.torch.load(data)
        length = int.from_bytes(data[:8], "little")
        header = json.loads(json.loads(data[8 : 8 + length])["__metadata__"][_HEADER])
        sha256 = header["sha256"]
    except (OSError, SafetensorError, KeyError, TypeError, ValueError) as exc:
        raise FileFormatError(f"{path}: cannot be read as weights of this package: {exc}; repeat the training") from exc
    if weights_digest(tensors) != sha256:
        raise FileFormatError(f"{path}: altered (its weights are not those noted in its header); repeat the training")
    try:
        model.load_state_dict(tensors)
    except RuntimeError as exc:
        raise FileFormatError(f"{path}: the weights of another network: {str(exc).splitlines()[-1].strip()}") from exc


def weights_digest(tensors: Mapping[str, Tensor]) -> str:
    """SHA-256 over names and contents of tensors, in the order of the names."""
    plain = {name: _plain(tensors[name]) for name in sorted(tensors)}
    return hashlib.sha256(safetensors.torch.save(plain)).hexdigest()


def _format_of(parameter: Tensor) -> torch.memory_format:
    last = parameter.dim() == 4 and parameter.is_contiguous(memory_format=torch.channels_last)
    return torch.channels_last if last else torch.contiguous_format


def _plain(tensor: Tensor) -> Tensor:
    return tensor.detach().cpu().contiguous()
