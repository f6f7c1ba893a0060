"""Where the views live changes the speed and nothing else."""

import numpy as np
import pytest
import torch

from amnet_common.errors import CollectionError, ConfigError
from headtrain.features.batches import Picks, epoch_picks, ordered_picks
from headtrain.features.residency import DISK, GPU, RAM, Placement, choose, load, needed, whole
from headtrain.features.splits import split_subsets
from headtrain.heads.checkpoint import LAST, load_head
from headtrain.settings.configuration import TrainingConfig, override
from headtrain.training.loop import train
from headtrain.training.planned import Setup

GB = 10**9


def loaded(collection, settings, check=True, counts=None):
    """The collection with what a training of split 1 needs in memory: all of it, or `counts` on the device (the CPU, as
    any other) and in main memory.
    """
    held = needed(split_subsets(collection, 1, 0, allow_missing=False), collection.views, [settings])
    counted = []
    n = len(held.rows)
    found = Placement(*counts, n - sum(counts), "") if counts else whole(RAM, n, "")
    return load(collection, found, held, "cpu", counted.append, check), held, counted


def damage(collection, row, view):
    """Change two bytes of a view in the file."""
    with open(collection.path, "r+b") as file:
        at = collection.path.read_bytes().index(collection.read([row], view).tobytes())
        file.seek(at)
        file.write(b"\x01\x02")


@pytest.mark.parametrize(
    ("wanted", "views", "device", "gpu", "ram", "where"),
    [
        ("auto", 36, "cuda", 78 * GB, 100 * GB, GPU),
        ("auto", 60, "cuda", GB, 200 * GB, RAM),
        ("auto", 160, "cuda", GB, GB, DISK),
        ("auto", 36, "mps", 78 * GB, 78 * GB, GPU),
        ("auto", 1, "cpu", 0, 200 * GB, DISK),
        ("ram", 300, "cpu", 0, 20 * GB, RAM),
        ("disk", 1, "cuda", 78 * GB, 20 * GB, DISK),
        ("gpu", 70, "cuda:1", 78 * GB, 20 * GB, GPU),
    ],
)
def test_views_live_in_one_place_where_they_fit(wanted, views, device, gpu, ram, where):
    found = choose(wanted, views, GB, device, gpu, ram)
    assert found.where == where
    assert (found.gpu, found.ram, found.disk) == tuple(views if where == one else 0 for one in (GPU, RAM, DISK))
    assert f"{views:.1f} GB" in found.why


@pytest.mark.parametrize(
    ("device", "gpu", "ram", "counts", "where"),
    [
        ("cuda", 80 * GB, 100 * GB, (48, 43, 0), "gpu + ram"),
        ("cuda:1", 80 * GB, 40 * GB, (48, 20, 23), "gpu + ram + disk"),
        ("cuda", 80 * GB, GB, (48, 0, 43), "gpu + disk"),
        ("cuda", GB, 40 * GB, (0, 20, 71), "ram + disk"),
        ("mps", 80 * GB, 80 * GB, (48, 0, 43), "gpu + disk"),  # whose memory is the main memory
    ],
)
def test_what_does_not_fit_on_the_gpu_is_in_main_memory_and_the_rest_on_the_disk(device, gpu, ram, counts, where):
    found = choose("auto", 91, GB, device, gpu, ram)
    assert (found.gpu, found.ram, found.disk) == counts
    assert found.where == where
    assert "91.0 GB, too much for 0.6 of the GPU's " in found.why
    for count in filter(None, counts):
        assert f"{count} views, {count}.0 GB, " in found.why


def test_no_share_of_memory_is_exceeded():
    draw = np.random.default_rng(0)
    for _ in range(200):
        views, size, gpu, ram = (int(one) for one in draw.integers(1, 10**6, 4))
        found = choose("auto", views, size, "cuda", gpu * 10**3, ram * 10**3)
        assert found.gpu + found.ram + found.disk == views
        assert found.gpu * size <= 600 * gpu
        assert found.ram * size <= 500 * ram
        assert found.gpu == views or (found.gpu + 1) * size > 600 * gpu
        assert found.disk == 0 or (found.ram + 1) * size > 500 * ram


def test_gpu_memory_without_a_gpu_is_refused():
    with pytest.raises(ConfigError, match="--residency gpu: expected a GPU to train on, found --device cpu"):
        choose("gpu", 1, GB, "cpu", 0, GB)


def test_more_than_the_gpu_has_is_refused_where_all_is_to_be_there():
    line = r"--residency gpu: expected 91\.0 GB free on the GPU for 91 views, found 78\.0 GB; --residency auto puts"
    with pytest.raises(ConfigError, match=line):
        choose("gpu", 91, GB, "cuda", 78 * GB, 100 * GB)


@pytest.mark.parametrize(("views", "shown"), [("random", {1, 2, 3}), ("all", {1, 2, 3}), ("first", {1})])
def test_what_is_held_is_what_epochs_show_and_what_is_evaluated(make_learnable, views, shown):
    subsets = split_subsets(make_learnable(), 1, 0, allow_missing=False)
    settings = TrainingConfig(views=views, eval_view=2)
    held = needed(subsets, 4, [settings])
    pairs = set(zip(held.rows.tolist(), held.views.tolist(), strict=True))
    assert pairs == {(row, view) for row in range(24) for view in shown} | {(row, 2) for row in range(24, 32)}
    assert len(pairs) == len(held.rows)
    assert held.rows[:8].tolist() == [*range(24, 32)]  # each of these is read in each epoch: first
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


def test_a_batch_is_the_same_wherever_its_views_are(make_learnable):
    collection, draw, n = make_learnable(), np.random.default_rng(0), 24 + 8
    whole_file = {view: torch.from_numpy(collection.read(np.arange(40), view)) for view in (0, 1)}
    divisions = [(n, 0), (0, n), (0, 0), (1, n - 1), (n - 1, 0)]
    divisions += [tuple(np.diff(np.sort(draw.integers(n + 1, size=2)), prepend=0).tolist()) for _ in range(7)]
    for there, here in divisions:
        source, _, counted = loaded(collection, TrainingConfig(), counts=(there, here))
        if there + here:
            assert source.held_bytes == (there * collection.view_bytes, here * collection.view_bytes)
        assert sum(counted) == there + here
        rows, views = draw.integers(40, size=60), draw.integers(2, size=60)  # those of the test list are on the disk
        parts = np.split(np.arange(60), np.sort(draw.integers(1, 60, size=5)))
        picks = [Picks(rows[part], views[part], part) for part in parts if len(part)]
        found = [(pick, torch.as_tensor(features).clone()) for pick, features in source.batches(iter(picks))]
        assert [pick for pick, _ in found] == picks
        for pick, features in found:
            wanted = torch.stack([whole_file[view][row] for row, view in zip(pick.rows, pick.views, strict=True)])
            assert torch.equal(features, wanted)
        assert list(source.batches([])) == []


def test_damage_is_found_in_what_is_on_the_disk(make_learnable):
    collection = make_learnable()
    source, held, _ = loaded(collection, TrainingConfig(), counts=(3, 3))
    damage(collection, held.rows[-1], held.views[-1])
    picks = [Picks(held.rows[part], held.views[part], np.arange(32)[part]) for part in (slice(0, 6), slice(0, 32))]
    batches = source.batches(picks)
    next(batches)
    with pytest.raises(CollectionError, match="view 1"):
        next(batches)
    assert len([*source.batches(picks, check=False)]) == 2


def test_views_that_are_not_held_come_from_the_file(make_learnable):
    collection = make_learnable()
    source, _, _ = loaded(collection, TrainingConfig())
    rows = np.arange(32, 40)
    ((_, features),) = source.batches(ordered_picks(rows, 0, 8))
    np.testing.assert_array_equal(features, collection.read(rows))


@pytest.mark.parametrize("check", [True, False])
def test_damaged_views_are_refused_while_loading_unless_checking_is_off(make_learnable, check):
    collection = make_learnable()
    damage(collection, 3, 1)
    if check:
        with pytest.raises(CollectionError, match="view 1"):
            loaded(collection, TrainingConfig())
    else:
        loaded(collection, TrainingConfig(), check=False)


def test_a_training_from_memory_is_bit_for_bit_that_from_the_disk(make_learnable, small, tmp_path):
    collection, config = make_learnable(), override(small, attention=False, feature_dropout=0.3)
    subsets = split_subsets(collection, 1, 0, allow_missing=False)
    sources = {"disk": None, "ram": loaded(collection, config.training)[0],
               "parts": loaded(collection, config.training, counts=(13, 11))[0]}  # fmt: skip
    for name, source in sources.items():
        assert (
            len([*train(Setup(collection, subsets, 1, source=source), config, tmp_path / name)])
            == config.training.epochs
        )
    disk, *others = (load_head(tmp_path / name / LAST).state_dict() for name in sources)
    assert all(torch.equal(disk[name], other[name]) for name in disk for other in others)
