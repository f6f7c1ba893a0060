"""A running average of the weights: what is evaluated and kept while the head itself goes on training."""

import copy

import torch

from headtrain.heads.head import Head


class RunningAverage:
    """Hold a copy of a head that follows its parameters: average <- keep * average + (1 - keep) * current.

    keep rises to `decay` over the first updates, so that the random beginning is forgotten: (1 + n) / (10 + n) after
    n updates, as in TensorFlow's ExponentialMovingAverage. Decay 0 makes it an exact copy after every update.
    BatchNorm's running statistics are copied, not averaged.
    """

    def __init__(self, head: Head, decay: float) -> None:
        self.head = copy.deepcopy(head).requires_grad_(False)
        self._decay, self.updates = decay, 0

    @torch.no_grad()
    def update(self, current: Head) -> None:
        """Take one step towards the parameters of `current`."""
        self.updates += 1
        keep = min(self._decay, (1 + self.updates) / (10 + self.updates))
        torch._foreach_lerp_([*self.head.parameters()], [*current.parameters()], 1 - keep)
        for mine, buffer in zip(self.head.buffers(), current.buffers(), strict=True):  # BatchNorm's running statistics
            mine.copy_(buffer)
