"""Batches on their way to a card: in order, and not more of them than memory is for."""

import numpy as np
import torch
from pretended_gpu import PretendedGpu

from headtrain.features.arriving import QUEUED, arriving

COUNT = 8


def test_batches_come_in_their_order_also_where_some_are_on_the_card_already():
    with PretendedGpu() as gpu:
        there = [number % 3 == 1 for number in range(COUNT)]
        given = [torch.full((2, 3), number) for number in range(COUNT)]
        batches = [
            (n, one.to("cuda") if on else one.numpy()) for n, (one, on) in enumerate(zip(given, there, strict=True))
        ]
        found = [(number, views.device.type, views.cpu()) for number, views in arriving(batches, torch.device("cuda"))]
    assert [(number, device) for number, device, _ in found] == [(number, "cuda") for number in range(COUNT)]
    assert all(torch.equal(views, one) for (*_, views), one in zip(found, given, strict=True))
    assert gpu.races == []


def test_the_host_waits_for_each_copy_and_for_the_kernels_of_all_batches_but_the_last():
    with PretendedGpu() as gpu:
        buffer = torch.empty(2, 3, pin_memory=True).numpy()

        def filled_again():
            for number in range(COUNT):
                buffer[:] = number
                yield number, buffer

        found = [views.cpu() for _, views in arriving(filled_again(), torch.device("cuda"))]
    assert [int(one[0, 0]) for one in found] == [*range(COUNT)]
    assert gpu.events.total() == COUNT + COUNT - 1 - QUEUED
    assert gpu.races == []


def test_without_a_gpu_batches_are_as_they_are():
    one = np.ones((2, 3), np.float32)
    ((number, views),) = arriving([(7, one)], torch.device("cpu"))
    assert number == 7
    assert views.data_ptr() == torch.from_numpy(one).data_ptr()
