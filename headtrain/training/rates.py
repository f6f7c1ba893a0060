"""The learning rate over the epochs (pure)."""

import math

from headtrain.settings.configuration import TrainingConfig


def learning_rate_at(settings: TrainingConfig, epoch: int) -> float:
    """Return the learning rate of epoch 1, 2, ...: constant, half a cosine down to nearly 0, or in steps."""
    if settings.lr_schedule == "cosine":
        return settings.learning_rate * (1 + math.cos(math.pi * (epoch - 1) / settings.epochs)) / 2
    if settings.lr_schedule == "step":
        return settings.learning_rate * settings.lr_factor ** ((epoch - 1) // settings.lr_step)
    return settings.learning_rate
