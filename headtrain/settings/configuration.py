"""What decides a head and its training: two frozen dataclasses, each field with the paper's value and its source.

Section and equation numbers: Fajtl et al., CVPR 2018. "Assumption" marks what the paper leaves open.
"""

import dataclasses
import math
import types
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, NamedTuple, get_args, get_type_hints

from amnet_common.errors import ConfigError
from amnet_common.small_texts import MOST_BITS, checked, reason_of, shortened
from headtrain.settings.own import PREFIX, Pairs, as_pairs

MOST_STEPS = 6  # the paper tried 2 to 6 (4.4)
MOST_UPDATES = 10_000  # that an epoch has at least: far above any use
MOST_WIDTH = 65_536  # of a layer, far above any use: a number beyond it is a mistake
NO_OPTION = ""
KERNEL = "kernel"  # the architecture of the kernel regression that `baseline` fits
EQUATIONS = ("paper", "released", KERNEL)  # architectures whose settings are the fields of HeadConfig
OF_ANY_HEAD = ("architecture", "locations", "channels", "standardise", "source", "own")  # fields, the rest is theirs
STORED_NAMES = {"locations": "places"}  # fields that files call by the name they had when the format was made


def setting(
    default: object, source: str, about: str, option: str | None = None, choices: tuple[str, ...] = (),
    unoffered: tuple[str, ...] = (),
) -> Any:  # fmt: skip # noqa: ANN401 - as dataclasses.field
    """Declare a field with its paper value's source, its meaning, its option (None: --its-name), and what it may be.

    `unoffered`: values that it has in files, and that nobody gives.
    """
    known = {"source": source, "about": about, "option": option, "choices": choices, "unoffered": unoffered}
    return field(default=default, metadata=known)


@dataclass(frozen=True)
class HeadConfig:
    """Hold the settings of the network. Letters: L locations, D channels, H hidden size, T steps.

    Raises ConfigError for a value that is not allowed.
    """

    architecture: str = setting("paper", "section 3", "Equations of the paper, the authors' released network, another "
                                "head of amnet (mean-pool, attention-pool), or one of your own: FILE.py:CLASS, "
                                "PACKAGE.MODULE:CLASS or an installed one's name.",
                                choices=("paper", "released"),
                                unoffered=("mean-pool", "attention-pool", KERNEL))  # fmt: skip
    locations: int = setting(196, "3.1", "L, 14 x 14.", NO_OPTION)
    channels: int = setting(1024, "3.1", "D, of the cached features.", NO_OPTION)
    hidden: int = setting(1024, "3.3", "H, size of the LSTM's state.")
    steps: int = setting(3, "3.3; 4.4", "T, LSTM steps, 0 to 6; 0: attention without LSTM.")
    attention: bool = setting(True, "(8)", "Soft attention; without it all locations weigh the same, equation (9).",
                              "--attention/--no-attention")  # fmt: skip
    output: str = setting("sum", "(11)", "The score of the step outputs: their sum, mean, or the last one.",
                          choices=("sum", "mean", "last"))  # fmt: skip
    regress_hidden: int = setting(512, "assumption; the authors' code has it", "Width of the hidden layer of f_m.")
    standardise: bool = setting(False, "3.1: the raw features", "Standardise each channel with training statistics.",
                                "--standardise/--no-standardise")  # fmt: skip
    feature_dropout: float = setting(0.0, "assumption: none", "Dropout of the features.")
    feature_dropout_unit: str = setting("channel", "assumption", "What it drops: channels of an image, single values.",
                                        choices=("channel", "value"))  # fmt: skip
    attention_dropout: float = setting(0.0, "assumption: none", "Dropout inside the attention network.")
    regress_dropout: float = setting(0.0, "assumption: none", "Dropout of h before f_m, and of f_m's hidden layer.")
    source: str = ""  # SHA-256 of the file of a head of one's own
    own: Pairs = ()  # its settings

    def __post_init__(self) -> None:
        object.__setattr__(self, "own", as_pairs(dict(self.own)))
        _require(isinstance(self.source, str), "source", "a hash", self.source)
        _check_values(self)
        _require(0 <= self.steps <= MOST_STEPS, "--steps", f"0 to {MOST_STEPS}", self.steps)
        for name in ("locations", "channels", "hidden", "regress_hidden"):
            _require(getattr(self, name) >= 1, option_of(name), "1 or more", getattr(self, name))
            _require(getattr(self, name) <= MOST_WIDTH, option_of(name), f"{MOST_WIDTH} or less", getattr(self, name))
        for name in ("feature_dropout", "attention_dropout", "regress_dropout"):
            _require(0 <= getattr(self, name) < 1, option_of(name), "a share in [0, 1)", getattr(self, name))
        _require(self.steps > 0 or self.hidden == self.channels or self.architecture != "released", "--steps 0",
                 f"--hidden {self.channels}, as f_m reads z itself", self.hidden)  # fmt: skip
        _require(not (self.standardise and self.architecture == "released"), "--standardise",
                 "the paper's architecture: the released one has its own BatchNorm", self.architecture)  # fmt: skip

    @property
    def outputs(self) -> int:
        """Return how many step scores a head gives: T, or one where T = 0."""
        return max(self.steps, 1)

    @property
    def has_own(self) -> bool:
        """Tell whether the head's settings are those of its own class, and not the paper's."""
        return self.architecture not in EQUATIONS

    def with_own(self, architecture: str, source: str, own: Mapping[str, Any]) -> "HeadConfig":
        """Return the configuration of a head of another class with settings of its own, those of the paper's head at
        their defaults: they say nothing of it.
        """
        return HeadConfig(architecture=architecture, locations=self.locations, channels=self.channels,
                          standardise=self.standardise, source=source, own=as_pairs(own))  # fmt: skip


@dataclass(frozen=True)
class TrainingConfig:
    """Hold how a head is trained, and how it is evaluated. Raises ConfigError for a value that is not allowed."""

    learning_rate: float = setting(1e-3, "3.4", "Adam's learning rate.", "--lr")
    lr_schedule: str = setting("constant", "assumption", "Learning rate over the epochs.",
                               choices=("constant", "cosine", "step"))  # fmt: skip
    lr_step: int = setting(10, "unused: schedule constant", "Schedule step: epochs at each rate.")
    lr_factor: float = setting(0.1, "unused: schedule constant", "Schedule step: factor from one rate to the next.")
    l2: float = setting(1e-6, "3.4; 1e-4 for SUN (4.3)", "L2 penalty on the parameters.")
    batch_size: int = setting(256, "3.4", "Images a batch.")
    drop_last: bool = setting(False, "assumption", "Leave the last incomplete batch of an epoch out.",
                              "--drop-last/--keep-last")  # fmt: skip
    least_updates: int = setting(0, "assumption: an epoch is one pass", "Updates that an epoch has at least: a list of "
                                 "fewer batches is shown several times.")  # fmt: skip
    epochs: int = setting(50, "assumption: the paper stops early (3.4)", "At most so many epochs.")
    patience: int = setting(10, "assumption", "Stop after so many epochs without a higher validation rho.")
    penalty: float = setting(1e-4, "(14)", "Weight lambda of the attention penalty.")
    penalty_form: str = setting("paper", "(14), (15)", "The penalty of the paper, or of the authors' code.",
                                choices=("paper", "released"))  # fmt: skip
    order_penalty: float = setting(0.0, "tried and dropped by the paper", "Weight of the penalty on step order.")
    order: str = setting("ascending", "unused: weight 0", "Which order of step outputs it wants, or the "
                         "form of the authors' code.",
                         choices=("ascending", "descending", "released"))  # fmt: skip
    clip: float = setting(0.0, "3.4: none", "Largest norm of the gradient of all parameters of a head; 0: any.")
    weight_average: float = setting(0.0, "3.4: none", "Decay of a running average of the weights, which is kept.")
    views: str = setting("random", "3.5: new crops each epoch", "Augmented views an epoch shows of an image: a random "
                         "one, all, or always the first.", choices=("random", "all", "first"))  # fmt: skip
    augs: int | None = setting(None, "3.5: new crops each epoch", "Of the augmented views use only the first so many; "
                               "0: view 0 alone.")  # fmt: skip
    eval_view: int = setting(0, "assumption: the centre", "View that validation and test look at.")
    target_mean: float | None = setting(None, "3.5: of the training list", "Mean taken off the scores.")
    target_scale: float | None = setting(None, "3.5: to [-1, 1]", "Factor on the scores after that.")
    select_on: str = setting("validation", "3.4", "List that chooses the epoch; on test, as the authors on SUN, the "
                             "result is optimistic.", choices=("validation", "test"))  # fmt: skip
    seed: int = setting(0, "assumption", "Of initialisation and dropout.")
    data_seed: int = setting(0, "assumption", "Of the order of images, the views drawn, and a validation list where "
                             "the data set has none.")  # fmt: skip

    def __post_init__(self) -> None:
        _check_values(self)
        for name in ("learning_rate", "lr_factor"):
            _require(getattr(self, name) > 0, option_of(name), "more than 0", getattr(self, name))
        for name in ("batch_size", "epochs", "patience", "lr_step"):
            _require(getattr(self, name) >= 1, option_of(name), "1 or more", getattr(self, name))
        _require(0 <= self.weight_average < 1, "--weight-average", "a share in [0, 1)", self.weight_average)
        for name in ("l2", "penalty", "order_penalty", "clip", "augs", "eval_view", "least_updates"):
            _require((getattr(self, name) or 0) >= 0, option_of(name), "0 or more", getattr(self, name))
        _require(self.least_updates <= MOST_UPDATES, "--least-updates", f"{MOST_UPDATES} or less", self.least_updates)
        _require(self.target_scale is None or self.target_scale > 0, "--target-scale", "more than 0", self.target_scale)


@dataclass(frozen=True)
class Config:
    """Hold everything that decides a run, beside the collection and the split; `version` is that of the preset."""

    preset: str = "paper"
    head: HeadConfig = field(default_factory=HeadConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)
    version: int = 1

    def as_dict(self) -> dict[str, Any]:
        """Give all settings as plain JSON values, by the names that files have."""
        head = stored(asdict(self.head)) | {"own": dict(self.head.own)}
        kept = {name: value for name, value in head.items() if value or name not in ("source", "own")}
        parts = {"head": kept, "training": asdict(self.training)}
        return {"preset": self.preset, "version": self.version, **parts}

    def values(self) -> dict[str, Any]:
        """Return every setting by its field's name, those of the head first; not those of a head's own."""
        found = asdict(self.head) | asdict(self.training)
        return {name: found[name] for name in SETTINGS}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Config":
        """Build a configuration from what `as_dict` gave; fields that its version did not know have the paper's value.

        Raises ConfigError for unknown or missing parts, and for values that are not allowed.
        """
        try:
            preset, head, training = (values[part] for part in ("preset", "head", "training"))
            _require(isinstance(preset, str), "preset", "a name", preset)
            version = values.get("version", 1)  # before there were others
            _require(type(version) is int and version >= 1, "version", "1, 2, ... of the preset", version)
            return cls(preset, HeadConfig(**from_stored(head)), TrainingConfig(**training), version)
        except (AttributeError, KeyError, TypeError) as error:
            raise ConfigError(
                f"configuration: expected preset, head and training of this version, found {reason_of(error)}"
            ) from error


def stored(values: Mapping[str, Any]) -> dict[str, Any]:
    """Rename fields to what files call them."""
    return {STORED_NAMES.get(name, name): value for name, value in values.items()}


def from_stored(values: Mapping[str, Any]) -> dict[str, Any]:
    """Rename what files call fields to the fields' own names; settings of a head's own become pairs."""
    fields = {name: field for field, name in STORED_NAMES.items()}
    found = {fields.get(name, name): value for name, value in values.items()}
    if "own" in found:
        found["own"] = as_pairs(checked("own", dict, found["own"]))
    return found


class Setting(NamedTuple):
    """Describe a field of HeadConfig or TrainingConfig."""

    name: str
    kind: type  # int, float, bool or str
    optional: bool  # may be None
    paper: object  # its default
    source: str  # of the default
    about: str
    option: str  # on the command line; empty where the collection decides
    choices: tuple[str, ...]


def settings(part: type) -> Iterator[Setting]:
    """Yield the settings of HeadConfig or TrainingConfig, as they are declared; those of a head's own are not here."""
    hints = get_type_hints(part)
    for item in (one for one in dataclasses.fields(part) if one.metadata):
        hint, data = hints[item.name], item.metadata
        kinds = [kind for kind in get_args(hint) or (hint,) if kind is not types.NoneType]
        option = f"--{item.name.replace('_', '-')}" if data["option"] is None else data["option"]
        yield Setting(item.name, kinds[0], bool(get_args(hint)), item.default, data["source"], data["about"], option,
                      data["choices"])  # fmt: skip


OF_THE_PAPER = {item.name for item in dataclasses.fields(HeadConfig)} - {*OF_ANY_HEAD}  # settings of its head alone
SETTINGS: Mapping[str, Setting] = {s.name: s for part in (HeadConfig, TrainingConfig) for s in settings(part)}


def override(config: Config, **values: Any) -> Config:  # noqa: ANN401 - each as its field is declared
    """Return `config` with the given fields changed, in whichever part they stand; None leaves a field as it is.

    Names that begin with `own.` are settings of the head's own. Raises ConfigError for a value that is not allowed.
    """
    own = {name.removeprefix(PREFIX): value for name, value in values.items() if name.startswith(PREFIX)}
    given = {name: value for name, value in values.items() if value is not None and not name.startswith(PREFIX)}
    if own:
        given["own"] = as_pairs({**dict(config.head.own), **own})
    head = {name: value for name, value in given.items() if hasattr(config.head, name)}
    training = {name: value for name, value in given.items() if hasattr(config.training, name)}
    assert head.keys() | training.keys() == given.keys(), given
    changed = dataclasses.replace(config.head, **head), dataclasses.replace(config.training, **training)
    return Config(config.preset, *changed, config.version)


def refuse_untrained(config: Config) -> None:
    """Raise ConfigError for a head that is not trained: a kernel regression is fitted."""
    _require(config.head.architecture != KERNEL, "--architecture", "a head that is trained", "kernel; amnet-head "
             "baseline fits it")  # fmt: skip


def option_of(name: str) -> str:
    """Name the option that sets a field, for messages; the field itself where there is none."""
    return OPTIONS.get(name, name)


def _check_values(config: HeadConfig | TrainingConfig) -> None:
    """Raise ConfigError for a value of another type, none of its choices, or no finite number."""
    for item in (one for one in dataclasses.fields(config) if one.metadata):
        value, known, option = getattr(config, item.name), SETTINGS[item.name], option_of(item.name)
        _require(_is_of(known, value), option, f"a value of type {known.kind.__name__}", value)
        allowed = (*known.choices, *item.metadata["unoffered"])
        foreign = item.name == "architecture" and bool(getattr(config, "source", ""))
        _require(not known.choices or value in allowed or foreign, option, f"one of {', '.join(known.choices)}", value)
        _require(not isinstance(value, float) or math.isfinite(value), option, "a finite number", value)
        _require(not isinstance(value, int) or value.bit_length() <= MOST_BITS, option, "a smaller number", value)


def _is_of(known: Setting, value: object) -> bool:
    """Tell whether a setting may be a value, by its type; a whole number may stand where a fraction is meant."""
    if value is None or known.kind is bool:
        return known.optional if value is None else isinstance(value, bool)
    return isinstance(value, (int, float) if known.kind is float else known.kind) and not isinstance(value, bool)


def _require(holds: bool, name: str, wanted: str, found: object) -> None:
    if not holds:
        plain = isinstance(found, str) and found.isprintable()
        raise ConfigError(f"{name}: expected {wanted}, found {str(found)[:80] if plain else shortened(found)}")


OPTIONS = {name: item.option.partition("/")[0] or name for name, item in SETTINGS.items()}
