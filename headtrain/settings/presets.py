"""The named configurations: `paper`, `amnet` and `released`, each value with its source, and what they were before.

A preset is the paper's configuration and what departs from it; the source of what does not depart stands in
`headtrain.settings.configuration`. docs/deviations.md tells the same at length.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from amnet_common.errors import ConfigError
from headtrain.settings.configuration import SETTINGS, Config, override

SUN_L2 = 1e-4  # 4.3
SUN_EPOCHS = 49  # of the authors' code: range(1, 50)
RELEASED_MEAN, RELEASED_SCALE = 0.754, 2.0  # target_mean and target_scale of the authors' config.py


@dataclass(frozen=True)
class Preset:
    """Hold a configuration; `departures` gives the reason of each value that is not the paper's."""

    config: Config
    departures: Mapping[str, str] = field(default_factory=dict)

    def source(self, name: str) -> str:
        """Tell where the value of a setting comes from."""
        return self.departures.get(name, SETTINGS[name].source)


def preset_of(name: str, version: int = 1, /, **departures: tuple[Any, str]) -> Preset:
    """Build a version of a preset: the defaults of the fields, with some settings at (value, reason)."""
    changed = override(Config(), **{key: value for key, (value, _) in departures.items()})
    config = Config(name, changed.head, changed.training, version)
    return Preset(config, {key: why for key, (_, why) in departures.items()})


DROPOUT = "assumption: 3.4 calls dropout critical, and says neither where nor how much; amnet_model.py: "

# docs/results.md says how each was chosen
AMNET_1: dict[str, Any] = {
    "standardise": (True, "raw features run from 0 to 34, on very different scales by channel"),
    "feature_dropout": (0.5, "a cache shows the same few crops again: without it the head overfits in ten epochs"),
    "feature_dropout_unit": ("channel", "of whole channels of an image"),
    "attention_dropout": (0.0, "none beside that of the channels"),
    "regress_dropout": (0.5, "as in the authors' code"),
    "learning_rate": (3e-4, "1e-3 overfits before it has learnt; 1e-4 in the authors' code"),
    "weight_average": (0.98, "an epoch of LNSIM is six updates: the average smooths what early stopping chooses from"),
    "epochs": (30, "validation has stopped rising by then"),
    "patience": (6, "with the average the validation curve is smooth"),
}
AMNET_2: dict[str, Any] = {
    "least_updates": (6, "as LNSIM has, where the epochs were chosen: a hundred images are shown six times in each"),
    "patience": (30, "none: a rho of 128 validation images is known to 0.08, and a pause of six epochs says little"),
}

PRESETS: Mapping[str, Preset] = {
    "paper": preset_of(
        "paper",
        2,
        feature_dropout=(0.8, f"{DROPOUT}drop80, of the features"),
        feature_dropout_unit=("value", f"{DROPOUT}nn.Dropout"),
        attention_dropout=(0.5, f"{DROPOUT}drop50"),
        regress_dropout=(0.5, f"{DROPOUT}drop50"),
    ),
    "amnet": preset_of("amnet", 2, **{**AMNET_1, **AMNET_2}),
    "released": preset_of(
        "released",
        architecture=("released", "amnet_model.py of the authors' code, which differs from the paper's equations"),
        output=("mean", "amnet.py: the mean of the step outputs, not the sum (11)"),
        feature_dropout=(0.8, "amnet_model.py: drop80, after 1x1 convolution, BatchNorm and ReLU"),
        feature_dropout_unit=("value", "amnet_model.py: nn.Dropout"),
        attention_dropout=(0.5, "amnet_model.py: drop50"),
        regress_dropout=(0.5, "amnet_model.py: drop50"),
        learning_rate=(1e-4, "config.py"),
        batch_size=(222, "config.py"),
        drop_last=(True, "amnet.py: DataLoader(drop_last=True)"),
        epochs=(54, "config.py and amnet.py: epochs 1 to 54"),
        patience=(54, "amnet.py: no early stopping; the epoch of highest rho is tested"),
        penalty=(1e-5, "config.py: gamma"),
        penalty_form=("released", "amnet.py: (sum_t (0.2 - a_t))^2"),
        target_mean=(RELEASED_MEAN, "config.py, for every data set"),
        target_scale=(RELEASED_SCALE, "config.py, for every data set"),
    ),
}
EARLIER: Mapping[tuple[str, int], Preset] = {  # what runs of before say that they are
    ("paper", 1): preset_of("paper"),
    ("amnet", 1): preset_of("amnet", **AMNET_1),
}
PAPER, AMNET, RELEASED = (PRESETS[name].config for name in ("paper", "amnet", "released"))
DEFAULT = "amnet"


def preset(name: str) -> Preset:
    """Return the preset called `name`. Raises ConfigError if there is none."""
    if name not in PRESETS:
        raise ConfigError(f"preset: expected one of {', '.join(sorted(PRESETS))}, found {name!r}")
    return PRESETS[name]


def preset_behind(config: Config) -> Preset:
    """Return the preset, in its version, that a configuration departs from; the paper's where it is not known."""
    known = PRESETS.get(config.preset)
    if known and known.config.version == config.version:
        return known
    return EARLIER.get((config.preset, config.version), Preset(PAPER))


def for_dataset(config: Config, dataset: str) -> Config:
    """Apply what is set by data set, if `config` has the general value: L2 of 1e-4 on SUN (4.3), and 49 epochs of
    `released` there, as in the authors' code.
    """
    if dataset != "sun":
        return config
    l2 = SUN_L2 if config.training.l2 == PAPER.training.l2 else None
    general = config.preset == "released" and config.training.epochs == RELEASED.training.epochs
    epochs = SUN_EPOCHS if general else None
    return override(config, l2=l2, epochs=epochs, patience=epochs)
