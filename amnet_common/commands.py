"""What the three commands share: an error of ours becomes one line and exit status 2, Ctrl-C one line and 130."""

import contextlib
import os
import signal
import sys
from collections.abc import Callable, Iterator

import click

from amnet_common.errors import AmnetError

BAD_INPUT, INTERRUPTED = 2, 130


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
            ctx.exit(INTERRUPTED)
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
    """Within it Ctrl-C is only noted, and raised by the next call of what it yields; a second Ctrl-C stops at once.

    Raised wherever it strikes, it is lost when that is a destructor or a weak reference's callback, as torch has many.
    """
    before, pressed = signal.getsignal(signal.SIGINT), False

    def note(*_: object) -> None:
        nonlocal pressed
        pressed = True
        signal.signal(signal.SIGINT, before)

    def check() -> None:
        if pressed:
            raise KeyboardInterrupt

    if before is signal.default_int_handler:  # and not ignored, as in a shell's background jobs
        signal.signal(signal.SIGINT, note)
    try:
        yield check
    finally:
        if signal.getsignal(signal.SIGINT) is note:
            signal.signal(signal.SIGINT, before)


def printable(text: str) -> str:
    """One line that any terminal takes: file names may hold line breaks and bytes that are not UTF-8."""
    one_line = text.replace("\n", "\\n").replace("\r", "\\r")
    return one_line.encode("utf-8", "backslashreplace").decode()
