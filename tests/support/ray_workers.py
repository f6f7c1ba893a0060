"""What a worker of the Ray cluster of the tests is: its trunk costs nothing, and files in $AMNET_TEST_FOLDER say more.

`wait-for`: a number of processes, all of which must have begun to work before any goes on. `die-at`: a picture's hash,
a row that is scored or a configuration that trains, whose process removes the file and kills itself there; `always`: it
leaves the file. `blind`: no worker sees the collection; `unseen`: nor the images. `pids/`: a file each process that has
worked.
"""

import os
import signal
import time
from dataclasses import replace
from pathlib import Path

FOLDER = Path(os.environ.get("AMNET_TEST_FOLDER", "/nowhere"))
PATIENCE = 120.0


def told(name):
    try:
        return (FOLDER / name).read_text()
    except OSError:
        return ""


def die():
    try:
        if not told("always"):
            (FOLDER / "die-at").unlink()
    except OSError:  # another has
        return
    os.kill(os.getpid(), signal.SIGKILL)


def arrive():
    """Be counted, and wait for as many others as are to work at once."""
    (FOLDER / "pids" / str(os.getpid())).touch()
    until = time.monotonic() + PATIENCE
    while len(list((FOLDER / "pids").iterdir())) < int(told("wait-for") or 1):
        assert time.monotonic() < until, "the others have not come"
        time.sleep(0.02)


def set_up():
    """Begin a worker: patch what it will do."""
    from light_trunk import MeanTrunk, light_weights

    from extract import opening, pipeline, ray_blocks
    from headtrain.runs.log import Epoch
    from headtrain.scoring import ensemble, ray_engine
    from headtrain.sweep import sweeping

    close, sees, refuse = pipeline.Store._close, ray_blocks.sees_the_file, ray_blocks.refuse_unseen
    predict = ray_engine.predict_together
    train = sweeping.train_together

    def close_or_die(store, cut):
        if told("die-at") == cut.facts.sha256.hex():
            die()
        return close(store, cut)

    def see(common):
        arrive()
        return not told("blind") and sees(common)

    def predict_or_die(heads, collection, rows, *words):
        arrive()
        if told("die-at") in map(str, rows):
            die()
        return predict(heads, collection, rows, *words)

    def train_or_die(*words, **options):
        arrive()
        for planned, report in train(*words, **options):
            if isinstance(report, Epoch) and report.epoch == 2 and (told("die-at") or "none") in str(planned.run):
                die()
            yield planned, report

    ensemble.BATCH = 4
    opening.FrozenTrunk, opening.load_weights = MeanTrunk, light_weights
    pipeline.Store._close = close_or_die
    ray_engine.predict_together = predict_or_die
    sweeping.train_together = train_or_die
    ray_blocks.sees_the_file = see
    ray_blocks.refuse_unseen = lambda dataset, rows: refuse(
        replace(dataset, image_root=Path("/nowhere")) if told("unseen") else dataset, rows
    )
