"""Commands in forked children, whose imports are there already: a line of JSON in, a line of JSON out.

{"command": "amnet-head", "words": [...], "folder": working folder, "log": file, "at": k, "fault": "die before" | "die
after" | "no room", "after": seconds, "apart": seconds} answers {"status": of the child, or minus its signal, "calls":
of CALLS that it made}. With "twice" two children run at once, "apart" seconds after each other, and "status" is a list.
"""

import errno
import itertools
import json
import os
import signal
import sys
import time
import traceback
from pathlib import Path

import optuna.samplers  # noqa: F401 - all of these are loaded before the fork: a command would import them late
import pyarrow.parquet  # noqa: F401
import scipy.stats  # noqa: F401
import sqlalchemy.exc  # noqa: F401
import torch
import torch._dynamo

import headtrain.cli.train
import headtrain.figures.curves
import headtrain.scoring.job
import headtrain.sweep.searching
from amnet_common.cli import main as cache
from headtrain.cli import main as head

MAINS = {"amnet-head": head, "amnet-cache": cache}
CALLS = ("replace", "rename", "link", "fsync", "mkdir", "unlink", "pwrite", "write")  # of os, by which files come to be
headtrain.scoring.job.BLOCK = 8  # several blocks of a small table


def with_fault(at: int, fault: str, counted: Path) -> None:
    """Replace the calls through which files are made; the at-th of all of them is the one that fails."""
    calls = itertools.count()

    def replaced(function):
        def call(*arguments, **options):
            number = next(calls)
            counted.write_bytes(str(number + 1).encode()) if at < 0 else None
            if number != at:
                return function(*arguments, **options)
            if fault == "no room":
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            result = function(*arguments, **options) if fault == "die after" else None
            os.kill(os.getpid(), signal.SIGKILL)
            time.sleep(60)
            return result

        return call

    for name in CALLS:
        setattr(os, name, replaced(getattr(os, name)))


def child(question: dict, log: str) -> None:
    """Run the command, and end the process with its status."""
    os.chdir(question["folder"])
    file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(file, 1), os.dup2(file, 2)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if "at" in question:
        with_fault(question["at"], question.get("fault", ""), Path(f"{log}.calls"))
    if "after" in question:
        signal.setitimer(signal.ITIMER_REAL, question["after"])  # SIGALRM, unhandled, ends it at once
    status = 70
    try:
        MAINS[question["command"]](question["words"], prog_name=question["command"], standalone_mode=True)
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else 1
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def start(question: dict, log: str) -> int:
    """Fork a child, and return its process number."""
    process = os.fork()
    if not process:
        child(question, log)
    return process


def ended(process: int) -> int:
    """Wait for a child; its exit status, or minus the signal that ended it."""
    _, found = os.waitpid(process, 0)
    return os.waitstatus_to_exitcode(found)


def answer(question: dict) -> dict:
    """What the parent says of one question."""
    log = question["log"]
    if question.get("twice"):
        first = start(question, f"{log}.1")
        time.sleep(question.get("apart", 0))
        second = start(question, f"{log}.2")
        return {"status": [ended(first), ended(second)]}
    counted = Path(f"{log}.calls")
    counted.unlink(missing_ok=True)
    status = ended(start(question, log))
    return {"status": status, "calls": int(counted.read_text()) if counted.exists() else 0}


if __name__ == "__main__":
    torch.set_num_threads(1)
    for line in sys.stdin:
        sys.stdout.write(json.dumps(answer(json.loads(line))) + "\n")
        sys.stdout.flush()
