"""Where the views live changes the speed and nothing else."""

import numpy as np
import pytest
import torch

from amnet_common.errors import CollectionError, ConfigError
from headtrain.features.batches import Picks, epoch_picks, ordered_picks
from headtrain.features.residency import DISK, GPU, RAM, choose, load, needed
from headtrain.features.splits import split_subsets
from headtrain.heads.checkpoint import LAST, load_head
from headtrain.settings.configuration import TrainingConfig, override
from headtrain.training.loop import train
from headtrain.training.planned import Setup

GB = 10**9


def loaded(collection, settings, check=True):
    """The collection with all that a training of split 1 needs in memory."""
    held = needed(split_subsets(collection, 1, 0, allow_missing=False), collection.views, [settings])
    counted = []
    return load(collection, RAM, held, "cpu", counted.append, check), held, counted


@pytest.mark.parametrize(
    ("wanted", "size", "device", "gpu", "ram", "where"),
    [
        ("auto", 36 * GB, "cuda", 78 * GB, 100 * GB, GPU),
        ("auto", 60 * GB, "cuda", 78 * GB, 200 * GB, RAM),
        ("auto", 160 * GB, "cuda", 78 * GB, 200 * GB, DISK),
        ("auto", GB, "cpu", 0, 200 * GB, DISK),
        ("ram", 300 * GB, "cpu", 0, 20 * GB, RAM),
        ("disk", GB, "cuda", 78 * GB, 20 * GB, DISK),
    ],
)
def test_views_live_where_they_fit(wanted, size, device, gpu, ram, where):
    found = choose(wanted, size, device, gpu, ram)
    assert found.where == where
    assert f"{size / GB:.1f} GB" in found.why


def test_gpu_memory_without_a_gpu_is_refused():
    with pytest.raises(ConfigError, match="--residency gpu: expected a GPU to train on, found --device cpu"):
        choose("gpu", GB, "cpu", 0, GB)


@pytest.mark.parametrize(("views", "shown"), [("random", {1, 2, 3}), ("all", {1, 2, 3}), ("first", {1})])
def test_what_is_held_is_what_epochs_show_and_what_is_evaluated(make_learnable, views, shown):
    subsets = split_subsets(make_learnable(), 1, 0, allow_missing=False)
    settings = TrainingConfig(views=views, eval_view=2)
    held = needed(subsets, 4, [settings])
    pairs = set(zip(held.rows.tolist(), held.views.tolist(), strict=True))
    assert pairs == {(row, view) for row in range(24) for view in shown} | {(row, 2) for row in range(24, 32)}
    assert len(pairs) == len(held.rows)
    for epoch in range(1, 4):
        for batch in epoch_picks(subsets.train.rows, 4, settings, epoch):
            assert pairs.issuperset(zip(batch.rows.tolist(), batch.views.tolist(), strict=True))


def test_views_in_memory_are_those_of_the_file_in_any_order(make_learnable):
    collection = make_learnable()
    source, held, counted = loaded(collection, TrainingConfig())
    assert sum(counted) == len(held.rows) == 24 + 8
    order = np.random.default_rng(0).permutation(len(held.rows))[:9]
    pick = Picks(held.rows[order], held.views[order], order)
    ((given, features),) = source.batches([pick])
    assert given is pick
    assert torch.equal(features, torch.from_numpy(collection.read(pick.rows, pick.views)))


def test_views_that_are_not_held_come_from_the_file(make_learnable):
    collection = make_learnable()
    source, _, _ = loaded(collection, TrainingConfig())
    rows = np.arange(32, 40)
    ((_, features),) = source.batches(ordered_picks(rows, 0, 8))
    np.testing.assert_array_equal(features, collection.read(rows))


@pytest.mark.parametrize("check", [True, False])
def test_damaged_views_are_refused_while_loading_unless_checking_is_off(make_learnable, check):
    collection = make_learnable()
    with open(collection.path, "r+b") as file:
        at = collection.path.read_bytes().index(collection.read([3], 1).tobytes())
        file.seek(at)
        file.write(b"\x01\x02")
    if check:
        with pytest.raises(CollectionError, match="view 1"):
            loaded(collection, TrainingConfig())
    else:
        loaded(collection, TrainingConfig(), check=False)


def test_a_training_from_memory_is_bit_for_bit_that_from_the_disk(make_learnable, small, tmp_path):
    collection, config = make_learnable(), override(small, attention=False, feature_dropout=0.3)
    subsets = split_subsets(collection, 1, 0, allow_missing=False)
    for name, source in (("disk", None), ("ram", loaded(collection, config.training)[0])):
        assert (
            len([*train(Setup(collection, subsets, 1, source=source), config, tmp_path / name)])
            == config.training.epochs
        )
    disk, ram = (load_head(tmp_path / name / LAST).state_dict() for name in ("disk", "ram"))
    assert all(torch.equal(disk[name], ram[name]) for name in disk)
