"""The pretended GPU finds what it is there to find: each rule is broken once."""

import numpy as np
import pytest
import torch
from pretended_gpu import PretendedGpu


@pytest.fixture
def gpu():
    with PretendedGpu() as made:
        yield made


def test_operands_on_two_devices_raise_but_for_numbers(gpu):
    x = torch.ones(3, device="cuda")
    assert (x + torch.tensor(2.0) + 1).sum().item() == 12
    with pytest.raises(RuntimeError, match="same device, but found cpu, cuda:0"):
        x + torch.ones(3)
    with pytest.raises(RuntimeError, match="same device, but found cuda:0, cuda:1"):
        x + torch.ones(3, device="cuda:1")
    assert {card for card, _ in gpu.opened} == {"cuda:0", "cuda:1"}


def test_a_tensor_of_the_device_has_no_numpy_and_no_generator_of_the_cpu(gpu):
    x = torch.ones(3, device="cuda")
    with pytest.raises(TypeError, match="can't convert cuda:0"):
        x.numpy()
    with pytest.raises(RuntimeError, match="'cuda:0' device type for generator but found 'cpu'"):
        x.uniform_(generator=torch.Generator())
    assert x.uniform_(generator=torch.Generator("cuda")).cpu().numpy().shape == (3,)
    assert not gpu.races


def test_a_copy_to_the_host_is_garbage_until_its_event(gpu):
    x = torch.arange(3.0, device="cuda")
    copy = x.to("cpu", non_blocking=True)
    event = torch.cuda.current_stream().record_event()
    assert copy.tolist() == [1, 1, 1]
    event.synchronize()
    assert copy.tolist() == [0, 1, 2]
    assert not gpu.races


@pytest.mark.parametrize("waits", [True, False])
def test_a_pinned_buffer_that_is_filled_again_under_a_copy_is_a_race(gpu, waits):
    buffer = torch.empty(4, pin_memory=True).numpy()
    for number in range(2):
        buffer[:] = number
        torch.as_tensor(buffer).to("cuda", non_blocking=True)
        event = torch.cuda.current_stream().record_event()
        if waits:
            event.synchronize()
    torch.cuda.synchronize()
    assert len(gpu.races) == (0 if waits else 1)


def test_what_makes_the_host_wait_is_counted(gpu):
    x = torch.ones(3, device="cuda")
    for wait in (x.sum().item, x.cpu, x.tolist, lambda: x.new_tensor([1.0]), lambda: x[torch.tensor([0])], x.nonzero):
        before = gpu.waits.total()
        wait()
        assert gpu.waits.total() > before
    before = gpu.waits.total()
    x.mul(2).add_(x).sum()
    torch.ones(3).pin_memory().to("cuda", non_blocking=True)
    assert gpu.waits.total() == before


def test_mps_has_no_float64():
    with PretendedGpu("mps"):
        x = torch.ones(3, device="mps")
        for make in (x.double, lambda: torch.zeros(3, dtype=torch.float64, device="mps"), lambda: x.to(torch.float64),
                     lambda: torch.from_numpy(np.ones(3)).to("mps")):  # fmt: skip
            with pytest.raises(TypeError, match="float64"):
                make()
        assert x.cpu().double().dtype == torch.float64


def test_memory_has_room_for_what_it_is_told(gpu):
    gpu.largest = 100
    x = torch.ones(25, device="cuda") * 2
    with pytest.raises(torch.OutOfMemoryError):
        torch.cat([x, x])
    gpu.last = gpu.ran
    with pytest.raises(torch.OutOfMemoryError):
        x + 1


def test_nothing_is_left_of_it():
    before = torch.Generator, torch.cuda.is_available(), torch.autocast
    with PretendedGpu():
        assert torch.cuda.is_available()
    assert (torch.Generator, torch.cuda.is_available(), torch.autocast) == before
    with pytest.raises((RuntimeError, AssertionError)):
        torch.ones(1, device="cuda:1")
