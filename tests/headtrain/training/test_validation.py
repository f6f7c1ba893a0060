"""A bank is validated over one reading of the validation list, and each head as it is when it is alone."""

from collections import Counter

import numpy as np
import pytest
import torch

from amnet_common.collection import Collection
from headtrain.evaluation.metrics import evaluate
from headtrain.features.splits import split_subsets
from headtrain.heads.architectures import new_head
from headtrain.heads.checkpoint import LAST, load_head
from headtrain.runs.log import read_log
from headtrain.settings.configuration import override
from headtrain.settings.presets import PRESETS
from headtrain.training.epoch import predict_subset
from headtrain.training.loop import train_together
from headtrain.training.planned import PlannedRun, Setup


@pytest.fixture
def reads(monkeypatch) -> Counter:
    """How often each (row, view) of a collection is read from its file."""
    counted, usual = Counter(), Collection.read

    def read(self, rows, views, *given, **named):
        counted.update(zip(*(one.tolist() for one in np.broadcast_arrays(rows, views)), strict=True))
        return usual(self, rows, views, *given, **named)

    monkeypatch.setattr(Collection, "read", read)
    return counted


def test_three_heads_are_validated_by_one_reading_to_the_figures_of_each_alone(make_learnable, small, tmp_path, reads):
    collection = make_learnable()
    subsets = split_subsets(collection, 1, 0, allow_missing=False)
    configs = [
        override(small, attention=False, epochs=2, seed=seed, learning_rate=1e-3 * (seed + 1)) for seed in range(3)
    ]
    planned = [PlannedRun(config, tmp_path / str(number)) for number, config in enumerate(configs)]
    list(train_together(Setup(collection, subsets, 1, test=False), planned))
    assert {pair: n for pair, n in reads.items() if pair[0] in subsets.val.rows} == {
        (row, 0): 2  # once an epoch
        for row in subsets.val.rows.tolist()
    }
    x = collection.read_dequantised(subsets.val.rows)
    for run in (one.run for one in planned):
        alone = load_head(run / LAST).predict(x).score.numpy().astype(np.float64)
        wanted, logged = evaluate(alone, subsets.val.scores), read_log(run)[-1]
        assert (logged.val_rho, logged.val_mse) == (wanted.rho, wanted.mse)
    assert len({read_log(one.run)[-1].val_mse for one in planned}) == 3


@pytest.mark.parametrize("preset", ["paper", "released", "amnet"])
def test_predictions_beside_others_have_the_bits_of_a_head_alone(make_learnable, preset, reads):
    collection = make_learnable()
    subset = split_subsets(collection, 1, 0, allow_missing=False).val
    torch.manual_seed(3)
    heads = [new_head(PRESETS[preset].config.head).requires_grad_(False) for _ in range(3)]
    for parameter in (parameter for head in heads for parameter in head.parameters()):
        parameter.add_(torch.randn_like(parameter), alpha=0.02)  # the last layer of a new head is 0
    together = predict_subset(heads, collection, subset, 1, 3)  # three batches, the last one smaller
    assert reads == {(row, 1): 1 for row in subset.rows.tolist()}
    alone = [predict_subset([head], collection, subset, 1, 3) for head in heads]
    assert together.tobytes() == np.concatenate(alone).tobytes()
    assert np.ptp(together, axis=0).min() > 0
