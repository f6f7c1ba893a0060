"""Worker processes, one a card: each is given its task, its messages come out, and one that dies is named.

They are begun anew, never forked: a fork of a process that has used CUDA cannot use it. They leave Ctrl-C and SIGHUP to
the command, which asks them to stop by SIGTERM; whoever is asked stops at its next message. Lines that they print on
stderr come out as messages too, so that they do not run into the command's progress bar; they show no progress.
"""

import contextlib
import io
import multiprocessing
import signal
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from threading import Lock
from typing import Any

from amnet_common.commands import BAD_INPUT, Terminated, ending, warnings_in_lines
from amnet_common.reporting import Reporter, say_aside, say_wrong

GLANCE = 0.2  # seconds between two looks whether the command is to stop
Tell = Callable[[object], None]  # sends a message; raises Terminated where the worker is to stop
Work = Callable[[Any, Tell], None]  # a function of a module, as the other process finds it by name


@dataclass(frozen=True)
class Note:
    """Hold a line that the command is to print; `wrong`: of what is not as it should be."""

    text: str
    wrong: bool = False

    def emit(self, line: object) -> None:
        """Print a line about what it says."""
        (say_wrong if self.wrong else say_aside)(line)


@dataclass(frozen=True)
class Lost:
    """Report that a worker has ended before its work was done: why, and with which exit status a command would."""

    why: str
    status: int


def by_workers(
    work: Work, tasks: Sequence[object], check_interrupt: Callable[[], None]
) -> Generator[tuple[int, Any], None, None]:
    """Give each task to a process of its own, which calls `work(task, tell)`; yield what they tell as (number of the
    task, message), and `Lost` of each that ends before its work is done.

    `check_interrupt` is called several times a second. When it raises, the workers are asked to stop, what they still
    tell is yielded, and it is raised again at their end. Whoever closes this generator before kills them.
    """
    open_: dict[Connection, tuple[int, BaseProcess]] = {}
    stop: KeyboardInterrupt | None = None
    try:
        for number, task in enumerate(tasks):
            opened, process = _begun(work, task)
            open_[opened] = number, process
        while open_:
            try:
                check_interrupt()
            except KeyboardInterrupt as asked:
                stop = stop or asked
                for _, process in open_.values():
                    process.terminate()
            for receiver in wait([*open_], GLANCE):
                assert isinstance(receiver, Connection)
                number, process = open_[receiver]
                try:
                    message = receiver.recv()
                except (EOFError, OSError):  # OSError: killed within a message
                    process.join()
                    del open_[receiver]
                    receiver.close()
                    if process.exitcode and not stop:
                        yield number, Lost(*how_it_ended(process.exitcode))
                else:
                    if not (stop and isinstance(message, Lost)):
                        yield number, message
    finally:
        for left, (_, process) in open_.items():
            process.kill()
            process.join()
            left.close()
    if stop:
        raise stop


def how_it_ended(code: int) -> tuple[str, int]:
    """Tell in words how a process ended that could not say so itself, and the exit status that a command has then;
    `code` as multiprocessing has it: a signal's number is negative.
    """
    if code >= 0:
        return f"ended with exit status {code}", BAD_INPUT
    name = signal.Signals(-code).name if -code in {*signal.Signals} else f"signal {-code}"
    return f"killed by {name}{' (main memory ran out, say)' if name == 'SIGKILL' else ''}", BAD_INPUT


def _begun(work: Work, task: object) -> tuple[Connection, BaseProcess]:
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_serve, args=(work, task, sender), daemon=True)
    left = {signal.SIGINT, signal.SIGHUP}  # which a terminal sends to all: none may die of it while it begins
    before = signal.pthread_sigmask(signal.SIG_BLOCK, left)  # which the other process inherits
    try:
        process.start()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        sender.close()  # the worker's own is the only one: its end is seen
    return receiver, process


def _serve(work: Work, task: object, sender: Connection) -> None:
    """Work in the process itself: the work's messages, then why it ended, if not because all is done."""
    asked: list[int] = []
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda number, _: asked.append(number))
    sending = Lock()

    def send(message: object) -> None:
        with sending:
            sender.send(message)

    def tell(message: object) -> None:
        if asked:
            raise Terminated
        try:
            send(message)
        except OSError:  # the command has gone
            raise Terminated from None

    try:
        speaker = Speaker(send)
        with speaker.speaking(), contextlib.redirect_stderr(_Lines(send)), warnings_in_lines(speaker):
            work(task, tell)
    except (KeyboardInterrupt, Exception) as error:
        how = ("terminated", BAD_INPUT) if isinstance(error, KeyboardInterrupt) else ending(error)
        with contextlib.suppress(OSError):
            send(Lost(*how))


class Speaker(Reporter):
    """Turn what is said on stderr into notes for the command; no progress is shown."""

    def __init__(self, send: Callable[[object], None]) -> None:
        super().__init__(bars=False)
        self._send = send

    def aside(self, line: str, shown: bool = True) -> None:
        if shown:
            self._note(Note(line))

    def wrong(self, line: str) -> None:
        self._note(Note(line, wrong=True))

    def _note(self, note: Note) -> None:
        with contextlib.suppress(OSError):  # the command has gone, which the work finds out
            self._send(note)


class _Lines(io.TextIOBase):
    """In place of stderr: each line becomes a note, but those of progress bars, which return to their beginning."""

    def __init__(self, send: Callable[[object], None]) -> None:
        self._send, self._begun = send, ""

    def write(self, text: str) -> int:
        *whole, self._begun = (self._begun + text).split("\n")
        with contextlib.suppress(OSError):
            for line in whole:
                if line and "\r" not in line:
                    self._send(Note(line))
        return len(text)
