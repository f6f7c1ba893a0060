"""A running average of the weights: what is evaluated and kept while the head itself goes on training."""

import copy

from headtrain.heads.head import Head


class RunningAverage:
    """Hold a copy of a head that follows its parameters: average <- keep * average + (1 - keep) * current.

    keep rises to `decay` over the first updates, so that the random beginning is forgotten: (1 + n) / (10 + n) in
    update n, as in TensorFlow's ExponentialMovingAverage. Decay 0 makes it an exact copy after every update.
    BatchNorm's running statistics are copied, not averaged. `training.updates` moves it.
    """

    def __init__(self, head: Head, decay: float) -> None:
        self.head = copy.deepcopy(head).requires_grad_(False)
        self.decay, self.updates = decay, 0

    def keep(self) -> float:
        """Count one more update, and return what is kept of the average in it."""
        self.updates += 1
        return min(self.decay, (1 + self.updates) / (10 + self.updates))
