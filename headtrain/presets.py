"""What decides a head and its training, and the named sets of it. Section and equation numbers: Fajtl et al. 2018."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from amnet_common.errors import ConfigError


@dataclass(frozen=True)
class HeadConfig:
    """The network. Letters: L places, D channels, H hidden size, T steps.

    Assumption, for every preset: a new head starts with M = 0 (it looks everywhere alike) and a last layer of zeros
    (it says the mean score); the paper does not give its initialisation.
    """

    places: int = 196  # L, 14 x 14 (3.1)
    channels: int = 1024  # D (3.1)
    hidden: int = 1024  # H (4.1)
    steps: int = 3  # T (5.1)
    attention: bool = True  # False: e = 1 everywhere (9)
    regress_hidden: int = 512  # assumption: the paper does not give the width of f_m
    standardise: bool = False  # the paper feeds the raw features
    feature_dropout: float = 0.0  # on x, whole channels of an image; the paper does not say where its dropout stands
    regress_dropout: float = 0.0  # on h before f_m, and on its hidden layer; likewise

    def __post_init__(self) -> None:
        _require(self.steps >= 1, "--steps", "1 or more", self.steps)
        for name in ("feature_dropout", "regress_dropout"):
            value = getattr(self, name)
            _require(0 <= value < 1, name, "a share in [0, 1)", value)


@dataclass(frozen=True)
class TrainingConfig:
    """How a head is trained."""

    learning_rate: float = 1e-3  # Adam (4.1)
    l2: float = 1e-6  # 4.1; SUN 1e-4
    batch_size: int = 256  # 4.1
    epochs: int = 50  # at most; the paper stops early (4.1)
    patience: int = 10  # epochs without a better validation rho; assumption
    penalty: float = 1e-4  # lambda of the attention penalty (14)
    weight_average: float = 0.0  # decay of a moving average of the weights, which is what is evaluated and kept
    seed: int = 0

    def __post_init__(self) -> None:
        _require(self.learning_rate > 0, "--lr", "more than 0", self.learning_rate)
        for name in ("batch_size", "epochs", "patience"):
            _require(getattr(self, name) >= 1, f"--{name.replace('_', '-')}", "1 or more", getattr(self, name))
        _require(0 <= self.weight_average < 1, "weight_average", "a share in [0, 1)", self.weight_average)
        for name in ("l2", "penalty"):
            _require(getattr(self, name) >= 0, name, "0 or more", getattr(self, name))


@dataclass(frozen=True)
class Config:
    """Everything that decides a run, beside the collection and the split."""

    preset: str = "paper"
    head: HeadConfig = field(default_factory=HeadConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Config":
        """The inverse of `as_dict`. Raises ConfigError for unknown or missing parts."""
        try:
            return cls(values["preset"], HeadConfig(**values["head"]), TrainingConfig(**values["training"]))
        except (KeyError, TypeError) as error:
            raise ConfigError(
                f"configuration: wanted preset, head and training of this version, found {error}"
            ) from error


def _require(holds: bool, name: str, wanted: str, found: object) -> None:
    if not holds:
        raise ConfigError(f"{name}: wanted {wanted}, found {found}")


PAPER = Config()

# The paper's equations, with what makes them train on cached features; docs/results.md says how each was chosen.
AMNET = Config(
    preset="amnet",
    head=replace(PAPER.head, standardise=True, feature_dropout=0.5, regress_dropout=0.5),
    training=replace(PAPER.training, learning_rate=3e-4, weight_average=0.98, epochs=30, patience=6),
)

PRESETS = {config.preset: config for config in (AMNET, PAPER)}


def override(config: Config, **values: Any) -> Config:  # noqa: ANN401 - each as its field is declared
    """`config` with the given fields changed, in whichever part they stand; None leaves a field as it is."""
    given = {name: value for name, value in values.items() if value is not None}
    head = {name: value for name, value in given.items() if hasattr(config.head, name)}
    training = {name: value for name, value in given.items() if hasattr(config.training, name)}
    assert head.keys() | training.keys() == given.keys(), given
    return Config(config.preset, replace(config.head, **head), replace(config.training, **training))
