"""Work given to Ray as tasks: its messages come out, a task whose worker is lost is done again, by Ray.

A task streams lists of messages. When it is done again Ray leaves out as many lists as have been taken already, so that
work must give equally many lists each time it is done for the same task.
"""

import contextlib
import itertools
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from amnet_common.commands import BAD_INPUT, ending, say_above, warnings_in_lines
from amnet_common.endings import TRY_LATER
from amnet_common.errors import ConfigError, ExtraError, LostWorkError, WorkerError
from amnet_common.workers import GLANCE, Lost, Note, Speaker

RETRIES = 3  # times that Ray does a task again whose worker was lost
AT_ONCE = 256  # tasks that Ray knows of; an autoscaler counts those that wait
UNREAD = 2  # lists of messages of a task that may wait for the command: bounds the memory of Ray's object store
SECONDS = 10.0  # that a cluster has to answer
PATIENCE = 60.0  # seconds that tasks have to save what is finished, when they are asked to stop
SETTINGS = {"RAY_USAGE_STATS_ENABLED": "0",  # a cluster that a command begins tells nobody of it
            "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0"}  # as Ray will do by itself, of which it warns  # fmt: skip
Work = Callable[[Any, Any], Iterator[Sequence[object]]]  # of what all tasks share, and a task; a function of a module


@dataclass(frozen=True)
class Need:
    """Hold what a task takes of a machine."""

    cpus: int
    gpus: int = 0

    def __str__(self) -> str:
        return f"{self.cpus} CPU{'s' * (self.cpus > 1)}" + (f" and {self.gpus} GPU" if self.gpus else "")


@dataclass(frozen=True)
class Ended:
    """Report that the work of a task is done."""


@dataclass(frozen=True)
class Cluster:
    """Give work to the Ray cluster that this process is connected to."""

    ray: Any  # the package

    def places(self, need: Need) -> list[int]:
        """Count how many tasks each machine of the cluster has room for at once, of those that have room for one."""
        found = (self._room(node["Resources"], need) for node in self.ray.nodes() if node["Alive"])
        return [count for count in found if count]

    @staticmethod
    def _room(resources: dict[str, float], need: Need) -> int:
        of_cpus = int(resources.get("CPU", 0)) // need.cpus
        return min(of_cpus, int(resources.get("GPU", 0)) // need.gpus) if need.gpus else of_cpus

    def cpus_beside(self, gpus: int) -> int:
        """Return how many CPUs a machine has for each task with so many GPUs, at the least; 1 if there is none yet."""
        found = [int(node["Resources"].get("CPU", 0)) // (int(node["Resources"]["GPU"]) // gpus)
                 for node in self.ray.nodes() if node["Alive"] and node["Resources"].get("GPU", 0) >= gpus]  # fmt: skip
        return max(1, min(found, default=1))

    def by_tasks(
        self,
        work: Work,
        shared: object,
        tasks: Iterable[object],
        need: Need,
        check_interrupt: Callable[[], None],
        at_once: int = AT_ONCE,
    ) -> Generator[tuple[int, Any], None, None]:
        """Give each task to a worker, which calls `work(shared, task)`; yield what it tells as (number of the task,
        message), at its end `Ended`, or `Lost` if it ends before its work is done.

        `check_interrupt` is called several times a second. When it raises, the tasks are cancelled, what they still
        tell is yielded, and it is raised again. Whoever closes this generator before cancels them.
        """
        common = [self.ray.put(shared)]  # in a list, so that a worker fetches it once
        options = {"max_retries": RETRIES, "num_returns": "streaming", "_generator_backpressure_num_objects": UNREAD}
        takes = {"num_cpus": need.cpus} | ({"num_gpus": need.gpus} if need.gpus else {})
        begin, waiting = self.ray.remote(**options, **takes)(serve), enumerate(tasks)
        running: dict[Any, int] = {}
        stop: KeyboardInterrupt | None = None
        until = float("inf")
        try:
            while True:
                for number, task in itertools.islice(waiting, 0 if stop else at_once - len(running)):
                    named = begin.options(name=f"{work.__name__} {number + 1}")  # for Ray's dashboard
                    running[named.remote(work, common, task, os.getcwd())] = number
                if not running or time.monotonic() > until:
                    break
                try:
                    check_interrupt()
                except KeyboardInterrupt as asked:
                    if not stop:
                        stop, until = asked, time.monotonic() + PATIENCE
                        self._cancel(running)
                for one in self._ready([*running]):
                    number = running[one]
                    messages = self._taken(one)
                    if not messages or isinstance(messages[-1], Lost | Ended):
                        del running[one]
                    yield from ((number, message) for message in messages if not (stop and isinstance(message, Lost)))
        finally:
            self._cancel(running)
        if stop:
            raise stop

    def _ready(self, running: list[Any]) -> list[Any]:
        """Those that have something to tell; after a glance, none."""
        self.ray.wait(running, num_returns=1, timeout=GLANCE, fetch_local=False)
        return self.ray.wait(running, num_returns=len(running), timeout=0, fetch_local=False)[0]

    def _taken(self, running: Any) -> Sequence[object]:  # noqa: ANN401 - Ray's generator of references
        """The next messages of a task, of which the last is Lost if there are no more."""
        try:
            return self.ray.get(next(running))
        except StopIteration:  # done again it gave fewer lists: it failed this time
            return [Lost("lost its worker, and failed when it was done again; the same command says why", BAD_INPUT)]
        except self.ray.exceptions.RayError as error:
            errors = self.ray.exceptions
            died = isinstance(error, errors.WorkerCrashedError | errors.NodeDiedError | errors.OutOfMemoryError)
            what = f"lost its worker {RETRIES + 1} times" if died else "Ray has not done it"
            return [Lost(f"{what} ({_first_line(error)})", BAD_INPUT)]

    def _cancel(self, running: Iterable[Any]) -> None:
        for one in running:
            self.ray.cancel(one)


def in_order(told: Iterable[tuple[int, Any]]) -> Iterator[Any]:
    """Yield what tasks tell in the order of the tasks; notes are printed as they come.

    Raises WorkerError for a task that was lost, when those before it have ended.
    """
    waiting: dict[int, list[Any]] = {}
    turn = 0
    for number, message in told:
        if isinstance(message, Note):
            say_above(message.text, message.emit)
            continue
        waiting.setdefault(number, []).append(message)
        while turn in waiting:
            for one in waiting.pop(turn):
                if isinstance(one, Lost):
                    kind = LostWorkError if one.status == TRY_LATER else WorkerError
                    raise kind(f"--engine ray: task {turn + 1}: {one.why}")
                if isinstance(one, Ended):
                    turn += 1
                else:
                    yield one


def _first_line(error: BaseException) -> str:
    return f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]}"


@contextlib.contextmanager
def connected(address: str | None) -> Iterator[Cluster]:
    """Connect to the Ray cluster at an address; None: that of $RAY_ADDRESS, one that runs here, or a new one for this
    command alone. A process that is connected already stays so.

    Ray's lines go to stderr. Raises ExtraError without Ray, ConfigError if there is no such cluster.
    """
    ray = _imported()
    refuse_unreachable(address or os.environ.get("RAY_ADDRESS", ""))
    if ray.is_initialized():
        with _stdout_kept():
            yield Cluster(ray)
        return
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    for name, text in SETTINGS.items():
        os.environ.setdefault(name, text)
    try:
        ray.init(address=address, log_to_driver=False, logging_level="ERROR")
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise ConfigError(f"--address: expected a Ray cluster at {address or 'its usual place'}, found none "
                          f"({_first_line(error)}); ray start --head begins one") from error  # fmt: skip
    try:
        for number, handler in handlers.items():
            signal.signal(number, handler)  # Ray has put its own in their place
        with _stdout_kept():
            yield Cluster(ray)
    finally:
        ray.shutdown()


def refuse_unreachable(address: str) -> None:
    """Raise ConfigError for an address that leads in from outside, or where nobody answers: Ray would wait minutes."""
    if address.startswith("ray://"):
        raise ConfigError(f"--address: expected auto or HOST:PORT of a cluster that this machine is part of, found "
                          f"{address}; begin the command there, by ray job submit say")  # fmt: skip
    host, colon, port = address.rpartition(":")
    if colon and port.isdecimal():
        try:
            socket.create_connection((host.strip("[]"), int(port)), SECONDS).close()
        except (OSError, OverflowError) as error:
            raise ConfigError(f"--address: expected a Ray cluster at {address}, found that nobody answers there "
                              f"({error}); ray start --head begins one") from error  # fmt: skip


def _imported() -> Any:  # noqa: ANN401 - a package without types where it is not installed
    try:
        import ray
        import ray.exceptions
    except ImportError as error:
        raise ExtraError("--engine ray: expected the package ray, found none; pip install 'amnet[ray]'") from error
    return ray


@contextlib.contextmanager
def _stdout_kept() -> Iterator[None]:
    """Let what threads of Ray print go to stderr: stdout is for what the command has done."""
    own = _OfThread(sys.stdout)
    with contextlib.redirect_stdout(own):
        yield


class _OfThread:
    """Stand in place of stdout: what other threads write goes to stderr."""

    def __init__(self, stdout: Any) -> None:  # noqa: ANN401 - whatever stands for it
        self._stdout, self._thread = stdout, threading.current_thread()

    def write(self, text: str) -> int:
        return (self._stdout if threading.current_thread() is self._thread else sys.stderr).write(text)

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - as stdout has it
        return getattr(self._stdout, name)


_FETCHED: dict[Any, object] = {}  # what the tasks share that this worker process did last


def serve(work: Work, common: list[Any], task: object, folder: str) -> Iterator[list[object]]:
    """Carry a task out, in the process that Ray has chosen: yield lists of its messages, at the end of the last Ended,
    or Lost with why it ended.
    """
    notes: list[object] = []
    speaker = Speaker(notes.append)
    with contextlib.suppress(OSError):  # paths mean what they mean to the command, where its folder is here
        os.chdir(folder)
    try:
        with speaker.speaking(), warnings_in_lines(speaker):
            for messages in work(_fetched(common[0]), task):
                yield [*notes, *messages]
                notes.clear()
    except Exception as error:
        yield [*notes, Lost(*ending(error))]
    else:
        yield [*notes, Ended()]


def _fetched(reference: Any) -> object:  # noqa: ANN401 - an ObjectRef
    if reference not in _FETCHED:
        _FETCHED.clear()
        _FETCHED[reference] = _imported().get(reference)
    return _FETCHED[reference]
