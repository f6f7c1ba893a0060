"""What a command says, kept in a file: lines with their time and process, each written at once behind all others."""

import contextlib
import io
import os
import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import TextIO

from amnet_common.errors import OutputError
from amnet_common.printing import printable

FLAGS = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NONBLOCK | getattr(os, "O_CLOEXEC", 0)


class LogFile:
    """Write lines behind those of a file, each by one write with O_APPEND, so that several commands may share it.

    `lost` says why a line could not be written, if one could not: a log must not end the work that it tells of.
    Raises OutputError for a file that cannot be opened.
    """

    def __init__(self, path: Path) -> None:
        self.path, self.lost = path, ""
        self._cut = False  # the file ends within a line of ours
        try:
            self._file = os.open(path, FLAGS, 0o666)
        except OSError as error:
            raise OutputError(f"--log-file {path}: cannot be written: {error.strerror or error}") from error

    def add(self, line: str) -> None:
        """Write a line behind its time (UTC, ISO 8601) and the number of this process."""
        stamp = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        data = f"{stamp} {os.getpid()} {printable(line)}\n".encode()
        if self._cut:
            data = b"\n" + data
        try:
            written = os.write(self._file, data)
        except OSError as error:
            self.lost = self.lost or f"{error.strerror or error}"
        else:
            self._cut = not data[:written].endswith(b"\n")

    def close(self) -> None:
        """Close the file."""
        with contextlib.suppress(OSError):
            os.close(self._file)


class Tee(io.TextIOBase):
    """Take the place of stderr: all goes on to it, `terminal`, and whole lines to the log as well."""

    encoding, errors = "utf-8", "backslashreplace"

    def __init__(self, terminal: TextIO, log: LogFile) -> None:
        self.terminal, self.log = terminal, log
        self._begun, self._lock = "", threading.Lock()

    def write(self, text: str) -> int:
        """Write text through, and the lines that it ends to the log; of a line that was drawn anew what it is now."""
        if not isinstance(text, str):
            raise TypeError(f"expected text, found {type(text).__name__}")
        with self._lock:
            *whole, self._begun = (self._begun + text).split("\n")
        for line in whole:
            if shown := line.rsplit("\r", 1)[-1]:
                self.log.add(shown)
        return self.terminal.write(text)

    def flush(self) -> None:
        """Bring what is written to the terminal."""
        self.terminal.flush()

    def isatty(self) -> bool:
        """Tell whether it is a terminal."""
        return self.terminal.isatty()

    def fileno(self) -> int:
        """Return the terminal's descriptor. Raises OSError where it has none."""
        return self.terminal.fileno()

    def end(self) -> None:
        """Add what was begun without its end to the log."""
        if rest := self._begun.rsplit("\r", 1)[-1]:
            self._begun = ""
            self.log.add(rest)
