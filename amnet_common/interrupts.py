"""What stops a command from without: Ctrl-C, SIGTERM of a scheduler, SIGHUP of a terminal or a session that has gone.

Each is raised as a kind of KeyboardInterrupt, so that everything is left in order. What is ignored when a command
begins (nohup, a shell's background jobs) stays so.
"""

import contextlib
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

AGAIN_AFTER = 0.05  # seconds until a signal is sent again whose exception was lost


class Terminated(KeyboardInterrupt):
    """Report that SIGTERM came, as a batch system sends it before it kills: as Ctrl-C but for the exit status."""


class HungUp(KeyboardInterrupt):
    """Report that SIGHUP came, as the terminal or the session of the command has gone."""


RAISED = {signal.SIGINT: KeyboardInterrupt, signal.SIGTERM: Terminated, signal.SIGHUP: HungUp}
FATAL = (signal.SIGTERM, signal.SIGHUP)  # that would end a Python process where it stands


@contextmanager
def unwinding_signals() -> Iterator[Callable[[], None]]:
    """Let SIGTERM and SIGHUP raise within it, unless they are ignored; what it yields has them ignored from then on.

    When one has been raised those that follow are ignored, as schedulers send several: nothing is to strike what cleans
    up; Ctrl-C still does. One whose exception is lost, in a destructor say, is sent again.
    """
    if threading.current_thread() is not threading.main_thread():
        yield lambda: None
        return
    before = {number: signal.getsignal(number) for number in FATAL}
    hook = sys.unraisablehook
    for number, handler in before.items():
        if handler is signal.SIG_DFL:
            signal.signal(number, _strike)

    def lost(raised: "sys.UnraisableHookArgs") -> None:
        number = next((one for one, kind in RAISED.items() if raised.exc_type is kind), None)
        if number is None:
            hook(raised)
            return
        if number in FATAL and before[number] is signal.SIG_DFL:
            signal.signal(number, _strike)
        # to the main thread: what comes to another one does not end that for which the main one waits
        timer = threading.Timer(AGAIN_AFTER, signal.pthread_kill, (threading.main_thread().ident, number))
        timer.daemon = True
        timer.start()

    sys.unraisablehook = lost
    try:
        yield _ignore_more
    finally:
        sys.unraisablehook = hook
        for number, handler in before.items():
            signal.signal(number, handler)


def _strike(number: int, _: object) -> None:
    _ignore_more()
    raise RAISED[signal.Signals(number)]


def _ignore_more() -> None:
    for number in FATAL:
        if signal.getsignal(number) is _strike:
            signal.signal(number, signal.SIG_IGN)


@contextlib.contextmanager
def deferred_interrupt() -> Iterator[Callable[[], None]]:
    """Note Ctrl-C, SIGTERM and SIGHUP within it, to be raised by the next call of what it yields; a second Ctrl-C or
    SIGTERM stops at once.

    Raised wherever it strikes, it is lost when that is a destructor or a weak reference's callback, as torch has many.
    """
    before = {number: signal.getsignal(number) for number in RAISED}
    came: list[int] = []

    def note(number: int, *_: object) -> None:
        came.append(number)
        if number != signal.SIGHUP:  # a terminal that goes sends several
            signal.signal(number, before[signal.Signals(number)])

    def check() -> None:
        if came:
            raise RAISED[signal.Signals(came[0])]

    for number, handler in before.items():
        if handler in (signal.default_int_handler, signal.SIG_DFL, _strike):  # and not ignored
            signal.signal(number, note)
    try:
        yield check
    finally:
        for number, handler in before.items():
            if signal.getsignal(number) is note:
                signal.signal(number, handler)
