"""The learning rate over the epochs."""

import pytest

from headtrain.settings.configuration import TrainingConfig
from headtrain.training.rates import learning_rate_at


@pytest.mark.parametrize(
    ("settings", "rates"),
    [
        (TrainingConfig(learning_rate=0.1), [0.1, 0.1, 0.1, 0.1]),
        (TrainingConfig(learning_rate=0.1, lr_schedule="step", lr_step=2, lr_factor=0.5), [0.1, 0.1, 0.05, 0.05]),
        (TrainingConfig(learning_rate=0.2, lr_schedule="cosine", epochs=4), [0.2, 0.1707107, 0.1, 0.0292893]),
    ],
)
def test_learning_rates_follow_their_schedule(settings, rates):
    assert [learning_rate_at(settings, epoch) for epoch in (1, 2, 3, 4)] == pytest.approx(rates)
