"""What a command says, and to whom: people on stdout and stderr, a log file, a program that reads one JSON object.

A command says what was asked for (`say`), what it does or has done (`say(err=True)`, `say_done`), what is not as it
should be (`say_wrong`), and hands over the facts of its end (`summary`); --quiet, --json and --log-file decide here
what becomes of it.
"""

import contextlib
import io
import json
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TextIO

import click

from amnet_common import __version__
from amnet_common.files import finite
from amnet_common.log_file import LogFile, Tee
from amnet_common.printing import printable

BAD = 2  # statuses from here on say that a command was not carried out to its end
MOST_HELD = 100  # lines about the work that --quiet holds back until it is known how the command ends


@dataclass
class Reporter:
    """Hold how a command is to speak, and what it has said.

    `bars`: whether progress is shown; not by processes that a command begins, whose rows the command counts.
    """

    quiet: bool = False
    as_json: bool = False
    bars: bool = True
    log: LogFile | None = None
    stdout: TextIO | None = None  # that of the JSON object
    lines: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    held: list[str] = field(default_factory=list)
    outputs: list[str] = field(default_factory=list)
    counts: dict[str, Any] = field(default_factory=dict)
    error: str | None = None
    begun: float = field(default_factory=time.monotonic)

    def answer(self, line: str) -> None:
        """Print a line of what was asked for; in JSON it is one of `lines`."""
        if self.as_json:
            self.lines.append(line)
            self._log(line)
        else:
            click.echo(line)

    def done(self, line: str, wrong: bool = False) -> None:
        """Print a line of what was done: on stdout; with --quiet only if the command ends with status 1, or what was
        done is `wrong`.
        """
        if wrong and (self.quiet or self.as_json):
            self.wrong(line)
            return
        self.warnings += [line] * wrong
        self._log(line)
        if self.as_json:
            self.lines.append(line)
        elif self.quiet:
            self.held = [*self.held, line][-MOST_HELD:]
        else:
            click.echo(line)

    def aside(self, line: str, shown: bool = True) -> None:
        """Print a line on stderr that no one needs who trusts the command; `shown`: on a terminal as well as a log."""
        if shown and not self.quiet:
            echo_aside(line)
        else:
            self._log(line)

    def wrong(self, line: str) -> None:
        """Print a line on stderr of what is not as it should be."""
        self.warnings.append(line)
        echo_aside(line)

    def log_to(self, path: Path) -> None:
        """Keep all that goes to stderr in a file. Raises OutputError."""
        self.log = LogFile(path)
        sys.stderr = Tee(sys.stderr, self.log)

    @contextmanager
    def speaking(self) -> Iterator[None]:
        """Be the one through which all is said, within it; with --json stdout is kept for the object."""
        self.stdout, stderr = sys.stdout, sys.stderr
        token = _CURRENT.set(self)
        try:
            with contextlib.redirect_stdout(_ToStderr(self.quiet)) if self.as_json else contextlib.nullcontext():
                yield
        finally:
            _CURRENT.reset(token)
            if isinstance(sys.stderr, Tee):
                sys.stderr.end()
            sys.stderr = stderr
            if self.log:
                self.log.close()
                if self.log.lost:
                    echo_aside(f"warning: --log-file {self.log.path} lacks lines: {self.log.lost}")

    def end(self, command: str, status: int, params: dict[str, Any]) -> None:
        """Say what belongs to the end: with --quiet why the status is 1, with --json the object.

        `params`: of the command; its --out counts as an output where it stands.
        """
        if status == 1:
            for line in self.held:  # which the log has
                echo_aside(line, terminal())
        if self.as_json:
            out = params.get("out")
            if not self.outputs and status < BAD and isinstance(out, Path) and os.path.lexists(out):
                self.outputs.append(str(out))
            if status >= BAD and self.error is None:
                self.error = self.warnings[-1] if self.warnings else f"exit status {status}; stderr says why"
            click.echo(self.as_text(command, status), file=self.stdout)

    def as_text(self, command: str, status: int) -> str:
        """Return the JSON object, in one line."""
        facts = {
            "command": command, "version": __version__, "status": status, "error": self.error,
            "seconds": round(time.monotonic() - self.begun, 3), "counts": self.counts, "outputs": self.outputs,
            "warnings": self.warnings, "lines": self.lines,
        }  # fmt: skip
        return json.dumps(finite(facts), allow_nan=False, default=_plain)

    def words(self) -> list[str]:
        """Return the options of a command that this one runs, so that it speaks likewise on stderr."""
        return ["--quiet"] * self.quiet + (["--log-file", str(self.log.path)] if self.log else [])

    def _log(self, line: str) -> None:
        if self.log:
            self.log.add(line)


_CURRENT: ContextVar[Reporter | None] = ContextVar("reporter", default=None)


def reporter() -> Reporter:
    """Return that of the command that runs; outside of one, and in threads, one that leaves nothing out."""
    return _CURRENT.get() or Reporter()


def say(text: object, err: bool = False) -> None:
    """Print a line of text, or of whatever shows itself as one, as `printable` makes it."""
    line = printable(str(text))
    reporter().aside(line) if err else reporter().answer(line)


def say_aside(text: object) -> None:
    """Print a line on stderr, which --quiet leaves out."""
    say(text, err=True)


def say_done(text: object, wrong: bool = False) -> None:
    """Print a line on stdout about the work that is done, which --quiet leaves out unless something is `wrong`."""
    reporter().done(printable(str(text)), wrong)


def say_wrong(text: object) -> None:
    """Print a line on stderr of what is not as it should be; --quiet keeps it, --json has it among its warnings."""
    reporter().wrong(printable(str(text)))


def summary(*outputs: Path, **counts: object) -> None:
    """Give the facts of a command's end to who reads its JSON object: files and folders that it has written, and
    numbers or names, which are replaced where they were given before.
    """
    now = reporter()
    now.outputs += [str(path) for path in outputs if str(path) not in now.outputs]
    now.counts |= counts


def moved(output: Path, address: str) -> None:
    """Say where an output is now that was written elsewhere, to who reads the JSON object."""
    now = reporter()
    now.outputs = [*dict.fromkeys([address, *(one for one in now.outputs if one != str(output))])]


def terminal() -> TextIO:
    """Return stderr itself, without the log file that may stand between."""
    return sys.stderr.terminal if isinstance(sys.stderr, Tee) else sys.stderr


def echo_aside(line: str, to: TextIO | None = None) -> None:
    """Print a line on stderr, as far as that takes it: a terminal that has gone must not end the work."""
    try:
        click.echo(line, file=to, err=True)
    except BrokenPipeError:
        raise
    except OSError:
        return


class _ToStderr(io.TextIOBase):
    """Stand in place of stdout where a program reads it: what is printed there past this file goes to stderr."""

    encoding, errors = "utf-8", "backslashreplace"

    def __init__(self, silent: bool) -> None:
        self._silent = silent

    def write(self, text: str) -> int:
        return len(text) if self._silent else sys.stderr.write(text)


def _plain(value: object) -> object:
    """Turn a value that JSON has not into one that it has: numbers of numpy, paths."""
    return value.item() if hasattr(value, "item") else str(value)
