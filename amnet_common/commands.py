"""What the three commands share: how they are begun, speak and end. An error of ours becomes one line.

Exit status: 0 all is well; 1 done, but something is not as it should be, which the command says; 2 wrong use or input;
70 an error of amnet itself, whose traceback stands in a file that the line names; 75 try again later, with the same
command: another is at work on the same output, the disk is full, or the storage has gone; 129 the terminal hung up;
130 interrupted; 143 terminated. `amnet_common.endings` decides.
"""

import os
import sys
import traceback
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import click

from amnet_common import __version__
from amnet_common.endings import (
    BAD_INPUT,
    HUNG_UP,
    INTERRUPTED,
    NOT_ALL_WELL,
    OUR_FAULT,
    TERMINATED,
    TRY_LATER,
    ending,
    is_full_disk,
)
from amnet_common.errors import LineWarning
from amnet_common.interrupts import HungUp, Terminated, deferred_interrupt, unwinding_signals
from amnet_common.printing import printable
from amnet_common.progress import progress, say_above
from amnet_common.reporting import Reporter, echo_aside, say, say_done, say_wrong, summary

__all__ = [
    "BAD_INPUT", "HUNG_UP", "INTERRUPTED", "NOT_ALL_WELL", "OUR_FAULT", "TERMINATED", "TRY_LATER", "HungUp",
    "OneLineErrors", "OneLineErrorsGroup", "Terminated", "deferred_interrupt", "ending", "is_full_disk", "printable",
    "progress", "say", "say_above", "say_done", "say_wrong", "summary", "version_option", "warnings_in_lines",
]  # fmt: skip

DEBUG = "amnet_common.debug"  # in a context's meta: errors keep their tracebacks
QUIET, JSON, LOG = "amnet_common.quiet", "amnet_common.json", "amnet_common.log"  # likewise: how it is to speak
GONE_READER = 0  # the exit status when nobody reads on, `head` say


class OneLineErrors(click.Command):
    """Run a command whose function returns its exit status; its errors become one line on stderr.

    Every command has --quiet, --json, --log-file and --debug.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - as click.Command
        super().__init__(*args, **kwargs)
        self.params += [
            _flag("--quiet", QUIET, "Print no progress and no notes: only warnings, errors, and what was asked for."),
            _flag("--json", JSON, "Print one JSON object on stdout at the end: status, error, counts, outputs."),
            click.Option(["--log-file"], type=click.Path(path_type=Path), metavar="FILE", expose_value=False,
                         callback=_kept(LOG), help="Append what goes to stderr to FILE too, each line with its time."),
            _flag("--debug", DEBUG, "Show the traceback of an error."),
        ]  # fmt: skip

    def main(self, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - as click.Command
        """Run the command in Python's UTF-8 mode, whatever the locale."""
        in_utf8_mode()
        return super().main(*args, **kwargs)

    def make_context(
        self,
        info_name: str | None,
        args: list[str],
        parent: click.Context | None = None,
        **extra: Any,  # noqa: ANN401 - as click.Command
    ) -> click.Context:
        """Parse the words of the command; with --json wrong use is a JSON object as well."""
        with wrong_use_in_json(list(args), info_name):
            return super().make_context(info_name, args, parent, **extra)

    def invoke(self, ctx: click.Context) -> None:
        """Run the command and leave with its status, as the head of this file lists them."""
        speaker = Reporter(quiet=bool(ctx.meta.get(QUIET)), as_json=bool(ctx.meta.get(JSON)))
        with unwinding_signals() as ignore_more, speaker.speaking():
            try:
                status = self._status(ctx, speaker, ignore_more)
                speaker.end(ctx.command_path, status, ctx.params)
            except BrokenPipeError:  # the reader of our output has gone
                os.dup2(os.open(os.devnull, os.O_WRONLY), (speaker.stdout or sys.stdout).fileno())
                status = GONE_READER
        ctx.exit(status)

    def _status(self, ctx: click.Context, speaker: Reporter, ignore_more: Callable[[], None]) -> int:
        try:
            if file := ctx.meta.get(LOG):
                speaker.log_to(file)
            with warnings_in_lines(speaker):
                return super().invoke(ctx) or 0
        except (click.Abort, BrokenPipeError):
            raise
        except click.exceptions.Exit as stop:
            return stop.exit_code
        except click.ClickException as error:
            speaker.error = error.format_message()
            error.show()
            return error.exit_code
        except (KeyboardInterrupt, Exception) as error:
            ignore_more()
            if ctx.meta.get(DEBUG):
                traceback.print_exc()
            line, status = ending(error, {option for one in self.params for option in one.opts})
            speaker.error = printable(line).rstrip()
            echo_aside(printable(f"{ctx.command_path}: {line}").rstrip())
            for note in getattr(error, "__notes__", ()):
                echo_aside(printable(f"  {note}"))
            return status


@contextmanager
def warnings_in_lines(speaker: Reporter) -> Iterator[None]:
    """Print warnings of ours as lines, and others as Python does, which --quiet leaves to the log."""
    with warnings.catch_warnings():
        usual: Callable[..., None] = warnings.showwarning

        def shown(message: Warning | str, category: type[Warning], *where: Any) -> None:  # noqa: ANN401 - as showwarning
            if issubclass(category, LineWarning):
                speaker.wrong(printable(f"warning: {message}"))
            elif speaker.quiet:
                speaker.aside(printable(f"{category.__name__}: {message}"))
            else:
                usual(message, category, *where)

        warnings.simplefilter("always", LineWarning)
        warnings.showwarning = partial(shown)
        yield


@contextmanager
def wrong_use_in_json(words: Sequence[str], name: str | None) -> Iterator[None]:
    """Print a JSON object about words that are not understood, if --json is among them, before the error goes on."""
    try:
        yield
    except click.UsageError as error:
        before = words[: words.index("--")] if "--" in words else words
        if "--json" in before:
            speaker = Reporter(as_json=True, error=error.format_message())
            speaker.end(error.ctx.command_path if error.ctx else name or "", error.exit_code, {})
        raise


version_option = click.version_option(__version__, message="%(prog)s %(version)s")


class OneLineErrorsGroup(click.Group):
    """Group commands that are `OneLineErrors`."""

    command_class = OneLineErrors

    def main(self, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - as click.Group
        """Run the command in Python's UTF-8 mode, whatever the locale."""
        in_utf8_mode()
        return super().main(*args, **kwargs)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command that is named; with --json a name that none has is a JSON object as well."""
        with wrong_use_in_json(list(args), ctx.command_path):
            return super().resolve_command(ctx, args)


def in_utf8_mode() -> None:
    """Begin the process anew in Python's UTF-8 mode where the locale has another encoding.

    An id is the bytes of a file's name read as UTF-8, the same in every locale; else a collection that was begun in one
    could not be resumed in another.
    """
    if sys.getfilesystemencoding() != "utf-8":
        os.environ["PYTHONUTF8"] = "1"
        os.execv(sys.executable, [os.fsencode(word) for word in (sys.executable, *sys.argv)])


def _flag(name: str, key: str, text: str) -> click.Option:
    return click.Option([name], is_flag=True, expose_value=False, callback=_kept(key), help=text)


def _kept(key: str) -> Callable[[click.Context, click.Parameter, object], None]:
    """A callback that keeps an option's value in the context's meta."""

    def keep(ctx: click.Context, _: click.Parameter, value: object) -> None:
        ctx.meta[key] = value

    return keep
