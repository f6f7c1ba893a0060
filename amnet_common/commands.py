"""What the three commands share: an error of ours becomes one line and exit status 2, Ctrl-C one line and 130."""

import contextlib
import os
import signal
import sys
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, NoReturn

import click

from amnet_common.errors import AmnetError

if TYPE_CHECKING:
    from tqdm import tqdm

BAD_INPUT, INTERRUPTED, TERMINATED = 2, 130, 143
CONTROLS = {code: f"\\x{code:02x}" for code in (*range(32), *range(127, 160))} | {9: "\t", 10: "\\n", 13: "\\r"}


class Terminated(KeyboardInterrupt):
    """SIGTERM, as a batch system sends it before it kills: the same as Ctrl-C but for the exit status."""


class OneLineErrors(click.Command):
    """A command whose function returns its exit status."""

    def invoke(self, ctx: click.Context) -> None:
        """Run the command and leave with its status."""
        try:
            status = super().invoke(ctx)
        except AmnetError as error:
            click.echo(f"{ctx.command_path}: {printable(str(error))}", err=True)
            ctx.exit(BAD_INPUT)
        except KeyboardInterrupt as stop:
            click.echo(f"{ctx.command_path}: interrupted. {printable(str(stop))}".rstrip(), err=True)
            ctx.exit(TERMINATED if isinstance(stop, Terminated) else INTERRUPTED)
        except BrokenPipeError:  # the reader of our output, `head` say, has gone
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            ctx.exit(0)
        except OSError as error:  # a disk that is full or a file that goes away in the middle
            click.echo(f"{ctx.command_path}: {printable(str(error))}", err=True)
            ctx.exit(BAD_INPUT)
        ctx.exit(status or 0)


class OneLineErrorsGroup(click.Group):
    """A group of such commands."""

    command_class = OneLineErrors


@contextlib.contextmanager
def deferred_interrupt() -> Iterator[Callable[[], None]]:
    """Within it Ctrl-C and SIGTERM are only noted, and raised by the next call of what it yields; a second one stops
    at once.

    Raised wherever it strikes, it is lost when that is a destructor or a weak reference's callback, as torch has many.
    """
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    came: list[int] = []

    def note(number: int, *_: object) -> None:
        came.append(number)
        signal.signal(number, before[signal.Signals(number)])

    def check() -> None:
        if came:
            raise Terminated if came[0] == signal.SIGTERM else KeyboardInterrupt

    usual = {signal.SIGINT: signal.default_int_handler, signal.SIGTERM: signal.SIG_DFL}
    for number, handler in before.items():
        if handler is usual[number]:  # and not ignored, as in a shell's background jobs
            signal.signal(number, note)
    try:
        yield check
    finally:
        for number, handler in before.items():
            if signal.getsignal(number) is note:
                signal.signal(number, handler)


def progress(what: str, total: int, unit: str) -> "tqdm[NoReturn]":
    """A progress bar on stderr with rate and time left; in a log file a line now and then."""
    from tqdm import tqdm

    interval = 0.5 if sys.stderr.isatty() else 30.0
    return tqdm(total=total, unit=unit, desc=what, mininterval=interval, smoothing=0.05)


def printable(text: str) -> str:
    """One line that any terminal takes: file names may hold line breaks, escape codes and bytes that are not UTF-8."""
    return text.translate(CONTROLS).encode("utf-8", "backslashreplace").decode()
