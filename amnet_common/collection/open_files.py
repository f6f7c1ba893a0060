"""The files of parts that are open: a bounded number in a process, however many parts a link has.

A file in use is never closed. The one that was used longest ago goes first; it is opened again when it is asked for,
and must then still be the very same file.
"""

import contextlib
import errno
import os
import threading
import weakref
from collections import OrderedDict, deque
from collections.abc import Iterator
from dataclasses import dataclass

from amnet_common.collection.part import Part

try:
    import resource
except ImportError:  # no Unix
    resource = None  # type: ignore[assignment]

MOST = 256  # of a process
SHARE = 2  # and never more than one of so many that the system allows
NO_FILES = (errno.EMFILE, errno.ENFILE)


def most_files() -> int:
    """Return how many files of parts may stay open in this process."""
    if resource is None:
        return MOST
    allowed = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return MOST if allowed == resource.RLIM_INFINITY else max(1, min(MOST, allowed // SHARE))


@dataclass
class _Open:
    file: int
    users: int = 0
    gone: bool = False  # nobody asks for its part any more: whoever uses it last closes it


class OpenFiles:
    """Keep files of parts open for the next read, and close those that were not used for longest."""

    def __init__(self) -> None:
        self._begin()

    def _begin(self) -> None:
        self._lock = threading.Lock()
        self._open: OrderedDict[int, _Open] = OrderedDict()  # by part, the one that was used last at the end
        self._left: deque[int] = deque()  # parts that nobody has any more
        self._known: set[int] = set()  # parts whose end is watched

    @contextlib.contextmanager
    def using(self, part: Part) -> Iterator[int]:
        """Give a descriptor of a part's file, which stays open within the `with` block.

        Raises CollectionError if the file is gone or replaced; OSError.
        """
        key = id(part)
        with self._lock:
            self._close_left()
            one = self._open.get(key) or self._opened(key, part)
            self._open.move_to_end(key)
            one.users += 1
        try:
            yield one.file
        finally:
            with self._lock:
                one.users -= 1
                if one.gone and not one.users:
                    os.close(one.file)

    def __len__(self) -> int:
        return len(self._open)

    def _opened(self, key: int, part: Part) -> _Open:
        self._close_unused(most_files() - 1)
        try:
            file = part.open()
        except OSError as error:
            if error.errno not in NO_FILES:
                raise
            self._close_unused(0)  # others in this process need many
            file = part.open()
        if key not in self._known:
            self._known.add(key)
            weakref.finalize(part, self._leave, key)
        self._open[key] = _Open(file)
        return self._open[key]

    def _close_unused(self, most: int) -> None:
        """Close files that nobody reads from, those first that were not used for longest, until there are so many."""
        for key in [key for key, one in self._open.items() if not one.users][: max(0, len(self._open) - most)]:
            os.close(self._open.pop(key).file)

    def _leave(self, key: int) -> None:
        """Close the file of a part that is no more; at once, unless it goes while this thread is at work here."""
        self._left.append(key)
        if self._lock.acquire(blocking=False):
            try:
                self._close_left()
            finally:
                self._lock.release()

    def _close_left(self) -> None:
        while self._left:
            key = self._left.popleft()
            self._known.discard(key)
            one = self._open.pop(key, None)
            if one and one.users:
                one.gone = True
            elif one:
                os.close(one.file)

    def forget_other(self) -> None:
        """Close the files in a process that was forked off, which opens its own: no thread but this one is there."""
        files = [one.file for one in self._open.values()]
        self._begin()
        for file in files:
            with contextlib.suppress(OSError):
                os.close(file)


open_files = OpenFiles()
os.register_at_fork(after_in_child=open_files.forget_other)
