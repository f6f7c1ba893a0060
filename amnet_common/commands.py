"""What the three commands share: how they end. An error of ours becomes one line and exit status 2.

Exit status: 0 all is well; 1 done, but something is not as it should be, which the command says; 2 wrong use or input;
70 an error of amnet itself, whose traceback stands in a file that the line names; 75 the disk is full, the same command
resumes when there is room; 130 interrupted; 143 terminated.
"""

import contextlib
import errno
import os
import resource
import signal
import sys
import tempfile
import traceback
import warnings
from collections.abc import Callable, Container, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any, NoReturn

import click

from amnet_common import __version__
from amnet_common.errors import AmnetError, LineWarning
from amnet_common.out_of_memory import is_out_of_memory, refusal

if TYPE_CHECKING:
    from tqdm import tqdm

NOT_ALL_WELL, BAD_INPUT, OUR_FAULT, FULL_DISK, INTERRUPTED, TERMINATED = 1, 2, 70, 75, 130, 143
NO_ROOM = (errno.ENOSPC, errno.EDQUOT)
AGAIN = "run the same command again"
DEBUG = "amnet_common.debug"  # in a context's meta: errors keep their tracebacks
CONTROLS = {code: f"\\x{code:02x}" for code in (*range(32), *range(127, 160))} | {9: "\t", 10: "\\n", 13: "\\r"}
CONTROLS |= {code: f"\\u{code:04x}" for code in (0x61C, 0x200E, 0x200F, *range(0x2028, 0x202F), *range(0x2066, 0x206A))}


class Terminated(KeyboardInterrupt):
    """Report that SIGTERM came, as a batch system sends it before it kills: as Ctrl-C but for the exit status."""


class OneLineErrors(click.Command):
    """Run a command whose function returns its exit status; its errors become one line on stderr."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - as click.Command
        super().__init__(*args, **kwargs)
        text = "Show the traceback of an error."
        self.params.append(click.Option(["--debug"], is_flag=True, expose_value=False, callback=_debug, help=text))

    def main(self, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - as click.Command
        """Run the command in Python's UTF-8 mode, whatever the locale."""
        in_utf8_mode()
        return super().main(*args, **kwargs)

    def invoke(self, ctx: click.Context) -> None:
        """Run the command and leave with its status, as the head of this file lists them."""
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("always", LineWarning)
                warnings.showwarning = partial(_shown, warnings.showwarning)
                status = super().invoke(ctx)
        except (click.exceptions.Exit, click.ClickException, click.Abort):
            raise
        except BrokenPipeError:  # the reader of our output, `head` say, has gone
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            ctx.exit(0)
        except (KeyboardInterrupt, Exception) as error:
            if ctx.meta.get(DEBUG):
                traceback.print_exc()
            line, status = ending(error, {option for one in self.params for option in one.opts})
            say(f"{ctx.command_path}: {line}".rstrip(), err=True)
            for note in getattr(error, "__notes__", ()):
                say(f"  {note}", err=True)
            ctx.exit(status)
        ctx.exit(status or 0)


def _shown(usual: Callable[..., None], message: Warning | str, category: type[Warning], *where: Any) -> None:  # noqa: ANN401 - as warnings.showwarning
    """Print a warning of ours as a line, and any other as Python does."""
    if issubclass(category, LineWarning):
        say(f"warning: {message}", err=True)
    else:
        usual(message, category, *where)


version_option = click.version_option(__version__, message="%(prog)s %(version)s")


class OneLineErrorsGroup(click.Group):
    """Group commands that are `OneLineErrors`."""

    command_class = OneLineErrors

    def main(self, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - as click.Group
        """Run the command in Python's UTF-8 mode, whatever the locale."""
        in_utf8_mode()
        return super().main(*args, **kwargs)


def in_utf8_mode() -> None:
    """Begin the process anew in Python's UTF-8 mode where the locale has another encoding.

    An id is the bytes of a file's name read as UTF-8, the same in every locale; else a collection that was begun in one
    could not be resumed in another.
    """
    if sys.getfilesystemencoding() != "utf-8":
        os.environ["PYTHONUTF8"] = "1"
        os.execv(sys.executable, [os.fsencode(word) for word in (sys.executable, *sys.argv)])


def ending(error: BaseException, options: Container[str] = ()) -> tuple[str, int]:
    """Return the line and the exit status of a command that ends with an error; `options`: those that it has.

    An error that is none of ours has its traceback written to a file, which the line names.
    """
    if isinstance(error, KeyboardInterrupt):
        return f"interrupted. {error}", TERMINATED if isinstance(error, Terminated) else INTERRUPTED
    if is_full_disk(error):
        cure = "" if AGAIN in str(error) else f"; free some room and {AGAIN}, with --resume if it has that"
        return f"{error}{cure}", FULL_DISK
    if isinstance(error, OSError) and error.errno in (errno.EMFILE, errno.ENFILE):
        most = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        return f"{error}; a process may have {most} files open here (ulimit -n)", BAD_INPUT
    if isinstance(error, AmnetError | OSError):  # OSError: a file that goes away in the middle
        return str(error), BAD_INPUT
    if is_out_of_memory(error):
        return str(refusal(error, options)), BAD_INPUT
    line = " ".join(f"{type(error).__name__}: {error}".split())
    return f"an error of amnet itself: {line[:300]}; {written_traceback(error)}", OUR_FAULT


def is_full_disk(error: BaseException | None) -> bool:
    """Tell whether an error, or one that it comes from, says that there is no room left on a disk."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in NO_ROOM:
            return True
        error = error.__cause__ or error.__context__
    return False


def written_traceback(error: BaseException) -> str:
    """Write the traceback of an error to a new file in the system's temporary folder, and say where."""
    try:
        with tempfile.NamedTemporaryFile("w", prefix="amnet-error-", suffix=".log", delete=False, encoding="utf-8",
                                         errors="backslashreplace") as file:  # fmt: skip
            file.write(f"amnet {__version__}, python {sys.version.split()[0]}: {sys.argv}\n")
            file.writelines(traceback.format_exception(error))
    except OSError:
        return "--debug shows the traceback"
    return f"its traceback is in {file.name}; please report it"


def _debug(ctx: click.Context, _: click.Parameter, value: bool) -> None:
    ctx.meta[DEBUG] = value


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


def say_above(text: str) -> None:
    """Print a line of text on stderr, above the progress bar if one is shown."""
    from tqdm import tqdm

    tqdm.write(printable(text), sys.stderr)


def printable(text: str) -> str:
    """Return a text as one line for any terminal: file names may hold line breaks, escape codes, marks that turn the
    direction of what follows, and bytes that are no UTF-8.
    """
    return text.translate(CONTROLS).encode("utf-8", "backslashreplace").decode()


def say(text: object, err: bool = False) -> None:
    """Print a line of text, or of whatever shows itself as one, as `printable` makes it."""
    click.echo(printable(str(text)), err=err)
