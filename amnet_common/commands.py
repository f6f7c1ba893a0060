"""What the three commands share: an error of ours becomes one line and exit status 2, Ctrl-C one line and 130."""

import contextlib
import os
import signal
import sys
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, NoReturn

import click

from amnet_common import __version__
from amnet_common.errors import AmnetError

if TYPE_CHECKING:
    from tqdm import tqdm

BAD_INPUT, INTERRUPTED, TERMINATED = 2, 130, 143
CONTROLS = {code: f"\\x{code:02x}" for code in (*range(32), *range(127, 160))} | {9: "\t", 10: "\\n", 13: "\\r"}


class Terminated(KeyboardInterrupt):
    """Report that SIGTERM came, as a batch system sends it before it kills: as Ctrl-C but for the exit status."""


class OneLineErrors(click.Command):
    """Run a command whose function returns its exit status; its errors become one line on stderr."""

    def invoke(self, ctx: click.Context) -> None:
        """Run the command and leave with its status: 2 after an error, 130 and 143 when interrupted and terminated."""
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


version_option = click.version_option(__version__, message="%(prog)s %(version)s")


class OneLineErrorsGroup(click.Group):
    """Group commands that are `OneLineErrors`."""

    command_class = OneLineErrors


@contextlib.contextmanager
def deferred_interrupt() -> Iterator[Callable[[], None]]:
    """Note Ctrl-C and SIGTERM within it, to be raised by the next call of what it yields; a second one stops at once.

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
    """Make a progress bar on stderr with rate and time left; in a log file a line now and then."""
    from tqdm import tqdm

    interval = 0.5 if sys.stderr.isatty() else 30.0
    return tqdm(total=total, unit=unit, desc=what, mininterval=interval, smoothing=0.05)


def printable(text: str) -> str:
    """Return a text as one line for any terminal: file names may hold line breaks, escape codes, and be no UTF-8."""
    return text.translate(CONTROLS).encode("utf-8", "backslashreplace").decode()
