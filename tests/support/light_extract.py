"""amnet-extract with the trunk and weights of tests/extract/conftest.py, which cost nothing: in its own process, and in
those that it begins, which run this file anew before they work.

DIE_AT_ROW=5 in the environment: the process that has row 5 kills itself there. SLOW=0.1: a batch takes so many seconds.
"""

import os
import signal
import time

import numpy as np
import torch

from amnet_common.collection import writer
from amnet_common.collection.quantise import quantise
from extract import opening, pipeline
from extract.cli import main
from extract.frozen_trunk import Encoded
from extract.variants import TORCHVISION
from extract.weights import Weights

DIE_AT_ROW, SLOW = int(os.environ.get("DIE_AT_ROW", "-1")), float(os.environ.get("SLOW", "0"))
close = pipeline.Store._close


class MeanTrunk:
    """Colour means of 16x16 patches, repeated over the channels."""

    def __init__(self, weights, compute):  # noqa: ARG002 - as the real one
        self.compute, self.scales = compute, None

    def quantise_by(self, scales):
        self.scales = scales

    def __call__(self, pixels):
        time.sleep(SLOW)
        means = pixels.reshape(-1, 14, 16, 14, 16, 3).mean((2, 4), dtype=np.float32)
        features = np.tile(means, 342)[..., :1024].astype(np.float16)
        clipped, finite = np.zeros(len(pixels), np.int64), np.ones(len(pixels), bool)
        if self.scales is not None:
            pairs = [quantise(view.astype(np.float32), self.scales) for view in features]
            features, clipped = np.array([codes for codes, _ in pairs]), np.array([number for _, number in pairs])
        return Encoded(features, clipped, finite)


def close_or_die(store, cut):
    if cut.row == DIE_AT_ROW:
        os.kill(os.getpid(), signal.SIGKILL)
    return close(store, cut)


pipeline.Store._close = close_or_die
opening.FrozenTrunk = MeanTrunk
opening.load_weights = lambda source, seed, *_, **__: Weights(
    source, TORCHVISION, {"w": torch.tensor([float(sum(map(ord, source))), float(seed)])}
)
writer.SYNC_ROWS = 1

if __name__ == "__main__":
    main(prog_name="amnet-extract")
