"""A child process that asks the HDF5 library: some bytes, with right checksums, make that library crash or never end.

One child serves this process for all the files it opens. It holds no lock and writes nothing; it ends when this
process does. Processes that are forked off start their own.
"""

import atexit
import contextlib
import json
import os
import signal
import struct
import subprocess
import sys
import threading
from typing import IO, Any

from amnet_common.child_limits import limit_memory
from amnet_common.hdf5.facts import Question, facts
from amnet_common.remote import is_remote

try:
    import resource
except ImportError:  # no Unix
    resource = None  # type: ignore[assignment]

MOST_SECONDS = 6  # of computing, for one file; a whole one takes some thousandths
MOST_BYTES = 2**30  # of memory, beyond what the child begins with
MOST_REPLY = 2**26  # bytes
LENGTH = struct.Struct("<Q")
READY: dict[str, Any] = {"ready": True}
MOST_FAILURES = 3  # of starting a child, before it is held to be impossible
SCRIPT = "import sys; sys.path[:] = sys.argv[2:]; from amnet_common.hdf5.apart import serve; serve(int(sys.argv[1]))"


class DeadlyError(ValueError):
    """Report that the HDF5 library does not survive a file, or not in time."""


class NoChildError(OSError):
    """Report that the system starts no process now; it says nothing of the file."""


def facts_apart(question: Question) -> dict[str, Any]:
    """Give the answer of `facts`, which the child makes.

    Raises DeadlyError if it dies of the file, NoChildError if none can be started for want of files or processes.
    Where this interpreter cannot be started a second time, the question is answered in this process.
    """
    if not is_remote(question.path):
        return _asker.ask(question)
    asker = _Asker()  # with the keys of the store as they are now
    try:
        return asker.ask(question)
    finally:
        asker.end()


class _Child:
    """The process, and the pipes to it."""

    def __init__(self) -> None:
        reading, writing = os.pipe()  # not standard output, on which an interpreter's start may say anything
        self.answers = os.fdopen(reading, "rb")
        try:
            self.process = subprocess.Popen(
                [sys.executable, "-c", SCRIPT, str(writing), *sys.path], pass_fds=[writing],
                stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                env=os.environ | {"OPENBLAS_NUM_THREADS": "1", "PYTHONUTF8": "1"},
                start_new_session=True,  # Ctrl-C is for the command alone
            )  # fmt: skip
        except BaseException:
            self.answers.close()
            raise
        finally:
            os.close(writing)

    def ask(self, question: dict[str, Any]) -> dict[str, Any] | None:
        """Put a question, and return the answer, or None if the child died of it."""
        assert self.process.stdin
        try:
            _send(self.process.stdin, question)
        except BrokenPipeError:
            return None
        return _receive(self.answers)

    def end(self) -> int:
        """Let the child end; its status."""
        for pipe in (self.process.stdin, self.answers):
            with contextlib.suppress(OSError):
                if pipe:
                    pipe.close()
        return self.process.wait()

    def kill(self) -> None:
        """Let the child end at once."""
        self.process.kill()
        self.end()


class _Asker:
    """The child of this process, once one was needed."""

    def __init__(self) -> None:
        self.begin_anew()

    def begin_anew(self) -> None:
        """Hold no child, and a lock that nobody holds."""
        self.lock = threading.Lock()
        self.child: _Child | None = None
        self.failures = 0  # to start one

    def ask(self, question: Question, again: bool = True) -> dict[str, Any]:
        """Give the child's answer, or our own if there can be none. One may have died of something else: ask again."""
        with self.lock:
            if not self.child and self.failures < MOST_FAILURES:
                self.child = _started()
                self.failures += self.child is None
            child = self.child
            if child is None:
                return facts(question)
            try:
                answer = child.ask(question.as_json())
            except BaseException:  # Ctrl-C: its answer, which is to come, would be taken for that to the next question
                self.child = None
                child.kill()
                raise
            if answer is not None:
                return answer
            self.child, status = None, child.end()
        if again and status != -signal.SIGXCPU:
            return self.ask(question, again=False)
        raise DeadlyError(why_dead(status))

    def forget_other(self) -> None:
        """Ignore the child in a process that was forked off: it is the other's, and not to be waited for."""
        if self.child:
            self.child.process.returncode = 0
        self.begin_anew()

    def end(self) -> None:
        """Let the child end."""
        if self.child:
            self.child.end()


def why_dead(status: int) -> str:
    """Say what the exit status of the child means."""
    if status == -signal.SIGXCPU:
        return f"the HDF5 library computes for more than {MOST_SECONDS} s on it"
    named = signal.Signals(-status).name if status < 0 else f"status {status}"
    return f"the HDF5 library crashes on it: {named}"


def _started() -> _Child | None:
    """A child that answers; None if there is no interpreter to start, or it cannot import this."""
    if not sys.executable:
        return None
    try:
        child = _Child()
    except (FileNotFoundError, PermissionError):
        return None
    except OSError as error:
        raise NoChildError(error.errno, error.strerror) from error
    try:
        ready = _receive(child.answers) == READY
    except BaseException:
        child.kill()
        raise
    if ready:
        return child
    child.kill()
    return None


_asker = _Asker()
os.register_at_fork(after_in_child=_asker.forget_other)
atexit.register(_asker.end)


def serve(to: int) -> None:
    """Serve questions from standard input into the descriptor `to`, until they end; what the child runs."""
    questions, answers = sys.stdin.buffer, os.fdopen(to, "wb")
    limit_memory(MOST_BYTES)
    _send(answers, READY)
    while (question := _receive(questions)) is not None:
        _limit_time()
        _send(answers, facts(Question(**question)))
    os._exit(0)


def _limit_time() -> None:
    with contextlib.suppress(OSError, ValueError, AttributeError):
        used = resource.getrusage(resource.RUSAGE_SELF)
        most = int(used.ru_utime + used.ru_stime) + 1 + MOST_SECONDS
        resource.setrlimit(resource.RLIMIT_CPU, (most, resource.getrlimit(resource.RLIMIT_CPU)[1]))


def _send(pipe: IO[bytes], message: dict[str, Any]) -> None:
    data = json.dumps(message).encode()
    pipe.write(LENGTH.pack(len(data)) + data)
    pipe.flush()


def _receive(pipe: IO[bytes]) -> dict[str, Any] | None:
    """The next message; None at the end."""
    head = pipe.read(LENGTH.size)
    if len(head) < LENGTH.size or (length := LENGTH.unpack(head)[0]) > MOST_REPLY:
        return None
    data = pipe.read(length)
    return json.loads(data) if len(data) == length else None
