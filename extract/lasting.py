"""Whether the disk of the images lasts: when all fail from one moment on, that is no fault of a hundred images."""

import contextlib
import errno
from collections.abc import Collection, Generator, Iterator
from pathlib import Path
from typing import Protocol, TypeVar

from amnet_common.errors import ImageError
from amnet_common.image_files import is_there

IN_A_ROW = 16  # images that no disk in order fails to read one after the other
LOST = frozenset({errno.ENOENT, errno.EIO, errno.ENXIO, errno.ENODEV, errno.ENOTCONN, errno.ESTALE, errno.EHOSTDOWN,
                  errno.EHOSTUNREACH, errno.ETIMEDOUT})  # fmt: skip


class Attempt(Protocol):
    """Tell how reading an image went."""

    @property
    def row(self) -> int: ...
    @property
    def error(self) -> str: ...
    @property
    def lost(self) -> int: ...


Tried = TypeVar("Tried", bound=Attempt)


def lost_for(error: ImageError) -> int:
    """Return the error number of a file that could not be read because its disk may be gone; else 0."""
    number = error.__cause__.errno if isinstance(error.__cause__, OSError) else None
    return number if number in LOST and number is not None else 0


class Lasting:
    """Give images on while their disk lasts; `lost` says since when it does not, if so.

    Images that cannot be read wait until one after them can: then they have failed. If none can any more, they stay as
    they were. `missing`: rows whose files were not there from the beginning, which say nothing of the disk.
    """

    def __init__(self, root: Path, ids: tuple[str, ...], missing: Collection[int] = ()) -> None:
        self.root, self.ids, self.missing = root, ids, missing
        self.lost = ""
        self._last_read: Path | None = None

    def __call__(self, tried: Generator[Tried, None, None]) -> Iterator[Tried]:
        """Yield images in their order, up to where the disk is gone."""
        waiting: list[Tried] = []
        with contextlib.closing(tried):
            for one in tried:
                if not one.lost:
                    self._last_read = self.root / self.ids[one.row]
                    yield from waiting
                    waiting = []
                elif one.row not in self.missing:
                    waiting.append(one)
                    if self._is_gone(waiting):
                        self.lost = self._line(waiting)
                        return
                    continue
                yield one
        yield from waiting

    def _is_gone(self, waiting: list[Tried]) -> bool:
        """Whether the disk is gone: what was read before is not there any more, or nothing can be read."""
        if not is_there(self._last_read or self.root, now=True):
            return True
        many = self._last_read is not None and len(waiting) >= IN_A_ROW
        return many and any(one.lost != errno.ENOENT for one in waiting)

    def _line(self, waiting: list[Tried]) -> str:
        first = waiting[0]
        return (f"{self.root}: the images cannot be read any more, since {self.ids[first.row]!r} ({first.error}): is "
                "the disk gone?")  # fmt: skip
