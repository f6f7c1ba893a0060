"""amnet-extract with one thing changed: `launcher.py [CHANGES] -- [OPTIONS of amnet-extract]`.

--sync-rows N         marks are written every N rows instead of every 64 rows or 10 seconds, so that few pictures
                      give many instants at which some rows are done
--die-at CALL SHARE   SIGKILL itself within the CALL-th pwrite, fsync or link (from 0), after that share of its bytes
--meet FOLDER         publish a new file only when another process that was given FOLDER is about to do so too
"""

import argparse
import itertools
import os
import signal
import sys
import time
from pathlib import Path

from amnet_common.collection import writer
from extract.cli import main


def die_at(call: int, share: float) -> None:
    """Replace the calls through which a collection is written."""
    calls = itertools.count()
    pwrite, fsync, link = os.pwrite, os.fsync, os.link

    def die() -> None:
        os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(60)  # another thread: the signal comes

    def pwrite_or_die(file, data, offset):
        if next(calls) == call:
            pwrite(file, data[: int(share * len(data))], offset)
            die()
        return pwrite(file, data, offset)

    def or_die(function):
        return lambda *given, **named: die() if next(calls) == call else function(*given, **named)

    os.pwrite, os.fsync, os.link = pwrite_or_die, or_die(fsync), or_die(link)


def meet(folder: Path) -> None:
    """Let `os.link` wait for the other process, a minute at most."""
    link = os.link

    def link_together(*arguments, **named) -> None:
        (folder / str(os.getpid())).touch()
        end = time.monotonic() + 60
        while len(os.listdir(folder)) < 2 and time.monotonic() < end:
            pass
        link(*arguments, **named)

    os.link = link_together


if __name__ == "__main__":
    ours, theirs = sys.argv[1 : sys.argv.index("--")], sys.argv[sys.argv.index("--") + 1 :]
    parser = argparse.ArgumentParser()
    parser.add_argument("--sync-rows", type=int)
    parser.add_argument("--die-at", nargs=2)
    parser.add_argument("--meet", type=Path)
    chosen = parser.parse_args(ours)
    if chosen.sync_rows:
        writer.SYNC_ROWS = chosen.sync_rows
    if chosen.die_at:
        die_at(int(chosen.die_at[0]), float(chosen.die_at[1]))
    if chosen.meet:
        meet(chosen.meet)
    main(theirs, prog_name="amnet-extract")
