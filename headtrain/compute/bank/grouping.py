"""Which configurations may train in one bank (pure)."""

from collections.abc import Hashable, Iterable

from headtrain.settings.configuration import Config

# what each head of a bank has for itself; all else makes the shape, the batches or the loss that they share
OWN = {
    "feature_dropout", "attention_dropout", "regress_dropout", "learning_rate", "lr_schedule", "lr_step", "lr_factor",
    "l2", "epochs", "patience", "penalty", "order_penalty", "clip", "weight_average", "target_mean", "target_scale",
    "seed",
}  # fmt: skip


def bank_key(config: Config) -> Hashable:
    """Return a key that is equal for configurations that fit in one bank."""
    shared = tuple((name, value) for name, value in config.values().items() if name not in OWN)
    return (config.head.source, config.head.own, *shared)


def may_train_together(configs: Iterable[Config]) -> bool:
    """Tell whether all of these configurations fit in one bank."""
    return len({bank_key(config) for config in configs}) <= 1
