"""Which device is chosen, and that no other is opened."""

import warnings

import numpy as np
import pytest
import torch
from pretended_gpu import PretendedGpu

from amnet_common.collection import Collection
from amnet_common.errors import ConfigError, DeviceWarning
from amnet_common.machine.devices import choose_device, multiplies_bfloat16
from amnet_common.machine.memory import available_bytes
from headtrain.features.batches import ordered_picks

NO_KERNELS = "CUDA error: no kernel image is available for execution on the device\nCUDA kernel errors might be ..."


@pytest.fixture
def too_old(monkeypatch):
    """A card that this torch has no kernels for: it is there, and the first kernel fails."""

    def item(_):
        raise RuntimeError(NO_KERNELS)

    with PretendedGpu() as gpu:
        monkeypatch.setattr(torch.Tensor, "item", item)
        yield gpu
        monkeypatch.undo()


def first_batch(collection):
    ((_, features),) = collection.batches(ordered_picks(np.arange(4), 0, 4))
    return torch.as_tensor(features)


def cards_opened(gpu):
    return {card for card, _ in gpu.opened}


def test_auto_takes_a_gpu_that_computes():
    with PretendedGpu():
        assert choose_device("auto") == "cuda"


@pytest.mark.usefixtures("too_old")
def test_auto_leaves_a_gpu_without_kernels_and_says_why():
    with pytest.warns(
        DeviceWarning, match="^--device auto: .*the CPU computes: CUDA error: no kernel image .* device$"
    ):
        assert choose_device("auto") == "cpu"


@pytest.mark.usefixtures("too_old")
def test_a_named_gpu_without_kernels_is_refused_in_one_line():
    with pytest.raises(ConfigError, match=r"--device: .* found 'cuda' \(CUDA error: no kernel image [^\n]*\)$"):
        choose_device("cuda")


@pytest.mark.parametrize(
    ("cards", "found"), [(1, "no such card; there is one, cuda:0"), (4, "no such card; there are cuda:0 to cuda:3")]
)
def test_a_card_that_is_not_there_is_refused_and_the_others_are_named(cards, found):
    with PretendedGpu(cards=cards) as gpu, pytest.raises(ConfigError, match=rf"found 'cuda:4' \({found}\)"):
        choose_device("cuda:4")
    assert not gpu.opened


@pytest.mark.parametrize("name", ["meta", "toaster", "cuda:-1", "cuda:99999999999", ""])
def test_what_is_no_device_is_refused(name):
    with pytest.raises(ConfigError, match="--device: expected a device that torch can use"):
        choose_device(name)


def test_the_second_card_is_asked_without_opening_the_first():
    with PretendedGpu("cuda:1") as gpu:
        assert choose_device("cuda:1") == "cuda:1"
        assert multiplies_bfloat16("cuda:1")
        assert available_bytes("cuda:1") == 70 * 10**9
    assert cards_opened(gpu) == {"cuda:1"}


def test_the_cpu_is_chosen_without_opening_a_gpu(make_collection):
    collection = Collection(make_collection(done=range(4)))
    with PretendedGpu() as gpu, warnings.catch_warnings():
        assert choose_device("cpu") == "cpu"
        assert available_bytes("cpu") > 0
        assert not first_batch(collection).is_pinned()
    assert not gpu.opened


def test_reading_for_a_gpu_is_into_pinned_memory(make_collection):
    collection = Collection(make_collection(done=range(4)))
    with PretendedGpu("cuda:1") as gpu:
        choose_device("cuda:1")
        assert first_batch(collection).is_pinned()
    assert cards_opened(gpu) == {"cuda:1"}
