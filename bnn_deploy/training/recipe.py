"""How a network is trained, as one frozen value with a name: what a run is compared with when it resumes."""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace

from bnn_deploy.errors import FileFormatError, UnknownName
from bnn_deploy.layers import WEIGHT_STE, Binarization, Ste, SteKind

SCHEMA = 1  # 1: first version


class Decay(str, enum.Enum):
    """How the learning rate falls to 0 after the warm-up."""

    COSINE = "cosine"
    LINEAR = "linear"


@dataclass(frozen=True, slots=True)
class Recipe:
    """Settings of one training.

    Args:
        epochs: passes over the train split.
        batch_size: images per step, about: an epoch is cut into equal batches.
        learning_rate: Adam's, at its peak.
        weight_decay: L2 on convolution and classifier weights, only while they are real-valued: later it would only
            push them over the sign's edge (AdamBNN, Liu et al., ICML 2021).
        warmup: share of the steps in which the learning rate rises from 0.
        decay: how it falls afterwards.
        real_weights: share of the epochs with binary activations and real weights, before the weights become binary
            too (ReActNet, Liu et al., ECCV 2020, section 5.1).
        restart: True to let Adam and the learning rate start anew when the weights become binary.
        label_smoothing: share of the target spread over all classes.
        distillation: share of the teacher in the loss, 0 to 1; of no effect without a teacher.
        temperature: softens teacher and student alike (Hinton et al. 2015, section 2).
        activation_ste, weight_ste: gradients of the two signs.
        augment: random changes of the training images.
        binarization: what the network is at the end; NONE trains the float twin.
        random_subnets: group tuples drawn per step of a supernet, beside the largest and the smallest.

    Raises:
        ValueError: a number outside its range, by name.
    """

    epochs: int
    batch_size: int = 64
    learning_rate: float = 2.5e-3
    weight_decay: float = 0.0
    warmup: float = 0.05
    decay: Decay = Decay.COSINE
    real_weights: float = 0.0
    restart: bool = False
    label_smoothing: float = 0.0
    distillation: float = 0.0
    temperature: float = 1.0
    activation_ste: Ste = field(default_factory=Ste)
    weight_ste: Ste = WEIGHT_STE
    augment: bool = True
    binarization: Binarization = Binarization.FULL
    random_subnets: int = 1

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size"):
            if getattr(self, name) < 1:
                raise ValueError(f"recipe: {name} must be at least 1, got {getattr(self, name)}")
        for name in ("warmup", "real_weights", "label_smoothing", "distillation"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"recipe: {name} must be from 0 to 1, got {getattr(self, name)}")
        for name in ("learning_rate", "temperature"):
            if not getattr(self, name) > 0:
                raise ValueError(f"recipe: {name} must be above 0, got {getattr(self, name)}")
        for name in ("weight_decay", "random_subnets"):
            if not getattr(self, name) >= 0:
                raise ValueError(f"recipe: {name} must be at least 0, got {getattr(self, name)}")

    @property
    def real_epochs(self) -> int:
        """Epochs with real-valued weights, from the first on."""
        return self.epochs if self.binarization is not Binarization.FULL else round(self.real_weights * self.epochs)

    def binarization_at(self, epoch: int) -> Binarization:
        """What is binary in epoch 0, 1, ..."""
        if self.binarization is Binarization.FULL and epoch < self.real_epochs:
            return Binarization.ACTIVATIONS
        return self.binarization

    def twin(self) -> Recipe:
        """The recipe of the float twin, the teacher of `distillation`: nothing binary, half as many epochs.

        Real-valued weights need fewer: after 170 batches of digits the twin is where the binary network is after 425.
        """
        real = replace(self, binarization=Binarization.NONE, distillation=0.0, real_weights=0.0, restart=False)
        return replace(real, epochs=max(1, round(self.epochs / 2)))

    def to_json(self) -> dict[str, object]:
        """A JSON-ready dictionary; from_json is its inverse."""
        fields = asdict(self)
        for name in ("activation_ste", "weight_ste"):
            ste: Ste = getattr(self, name)
            fields[name] = {"kind": ste.kind.value, "clip": ste.clip}
        return {"schema": SCHEMA, **fields, "decay": self.decay.value, "binarization": self.binarization.value}

    @classmethod
    def from_json(cls, data: Mapping[str, object]) -> Recipe:
        """Inverse of to_json; fields left out have their defaults.

        Raises:
            FileFormatError: another schema, unknown fields, or values that do not fit.
        """
        fields = dict(data)
        schema = fields.pop("schema", None)
        if schema != SCHEMA:
            raise FileFormatError(f"recipe: expected schema {SCHEMA}, got {schema!r}")
        readers: dict[str, Callable[[object], object]] = {
            "decay": Decay,
            "binarization": Binarization,
            "activation_ste": _ste,
            "weight_ste": _ste,
        }
        try:
            for name, reader in readers.items():
                if name in fields:
                    fields[name] = reader(fields[name])
            return cls(**fields)  # type: ignore[arg-type]
        except (KeyError, TypeError, ValueError) as exc:
            raise FileFormatError(f"recipe: malformed JSON: {exc}") from exc


def _ste(data: object) -> Ste:
    if not isinstance(data, Mapping):
        raise TypeError(f"expected kind and clip, got {data!r}")
    return Ste(SteKind(data["kind"]), float(data["clip"]))


_TWO_STEP = Recipe(
    epochs=128,
    batch_size=128,
    weight_decay=1e-5,
    real_weights=0.5,
    restart=True,
    label_smoothing=0.1,
    distillation=0.5,
)

RECIPES: Mapping[str, Recipe] = {
    # The quickstart's, for digits at 32x32: 425 batches, about 45 s on two cores; tuned there.
    "quick": Recipe(epochs=25, learning_rate=5e-3),
    "quick-supernet": Recipe(epochs=12, learning_rate=5e-3, distillation=0.5),
    # ReActNet's two steps and batch-norm-friendly Adam (2.5e-3 as in NAS-BNN), for larger data.
    "standard": _TWO_STEP,
    "standard-supernet": replace(_TWO_STEP, real_weights=0.0, restart=False, random_subnets=2),
}


def named_recipe(name: str) -> Recipe:
    """One of RECIPES.

    Example:
        >>> named_recipe("quick").binarization
        <Binarization.FULL: 'full'>

    Raises:
        UnknownName: no such recipe.
    """
    try:
        return RECIPES[name]
    except KeyError:
        raise UnknownName("recipe", name, RECIPES) from None
