"""amnet-extract with the trunk and weights of tests/extract/conftest.py, which cost nothing: in its own process, and in
those that it begins, which run this file anew before they work.

DIE_AT_ROW=5 in the environment: the process that has row 5 kills itself there. SLOW=0.1: a batch takes so many seconds.
"""

import os
import signal
import sys

from amnet_common.collection import writer
from extract import opening, pipeline
from extract.cli import main

sys.path.append(os.path.dirname(__file__))
from light_trunk import MeanTrunk, light_weights

DIE_AT_ROW = int(os.environ.get("DIE_AT_ROW", "-1"))
close = pipeline.Store._close


def close_or_die(store, cut):
    if cut.row == DIE_AT_ROW:
        os.kill(os.getpid(), signal.SIGKILL)
    return close(store, cut)


pipeline.Store._close = close_or_die
opening.FrozenTrunk = MeanTrunk
opening.load_weights = light_weights
writer.SYNC_ROWS = 1

if __name__ == "__main__":
    main(prog_name="amnet-extract")
