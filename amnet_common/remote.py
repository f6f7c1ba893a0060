"""Images in an object store or behind a web address, by fsspec: s3, gs, az, http, hf and what else it knows.

A root such as `s3://bucket/photos` is listed once; what the store says of an object (size, time, ETag) stands for what
a disk says of a file. A path of it is that of the root with the id behind, as for a folder. fsspec and the package of
the store are the extra `remote`; keys and endpoints are found where that package looks for them: AWS_ENDPOINT_URL, say.
"""

import errno
import os
import re
import time
import zlib
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from amnet_common.errors import DatasetError, ExtraError

REMOTE = re.compile(r"(s3|s3a|gs|gcs|az|abfs|abfss|adl|http|https|hf|webdav|sftp|memory):/+(.*)", re.DOTALL)
TRIES = 5  # of a request that fails by what may pass
TAKES_WHOLE = ("s3", "s3a", "gs", "gcs", "az", "abfs", "abfss", "memory")  # objects appear as a whole or not at all
BLOCK = 2**18  # bytes, of an object whose structure is read
FIRST_PAUSE = 0.2  # seconds, each next one twice as long
TIMES = ("LastModified", "mtime", "last_modified", "updated", "created")  # of an object, by the store's package
TAGS = ("ETag", "etag", "md5Hash", "sha256", "checksum")
T = TypeVar("T")
WRONG_USE = ("NoCredentialsError", "PartialCredentialsError", "ParamValidationError", "ProfileNotFound")  # of botocore
FOR_GOOD = (FileNotFoundError, PermissionError, IsADirectoryError)


class Facts(NamedTuple):
    """Hold what tells whether an object is still the same."""

    size: int  # bytes
    mtime_ns: int  # when it was written, with a checksum of its ETag in place of what is below a second


def is_remote(path: str | os.PathLike[str]) -> bool:
    """Tell whether a path is of an object store: `s3://bucket/photos`, or as pathlib has it, `s3:/bucket/photos`."""
    return REMOTE.match(os.fspath(path)) is not None


def url_of(path: str | os.PathLike[str]) -> str:
    """Return the address of a path that `is_remote`, with the two slashes that pathlib takes away."""
    found = REMOTE.fullmatch(os.fspath(path))
    assert found
    return f"{found[1]}://{found[2]}"


def takes_whole(url: str) -> bool:
    """Tell whether the store of an address has an object either as a whole or not at all, so that it can be written."""
    return url_of(url).partition(":")[0] in TAKES_WHOLE


class Store:
    """Hold the objects below a root: listed once, each by its path below it.

    Raises DatasetError if the root cannot be listed, ExtraError without the packages of the extra.
    """

    def __init__(self, root: str) -> None:
        self.url = url_of(root).rstrip("/")
        self.files, self.root = _opened(self.url)
        try:
            found = _tried(lambda: self.files.find(self.root, detail=True))
        except Exception as error:
            raise DatasetError(f"--root {self.url}: expected to list it, found: {reason(error)}") from error
        self.objects = _below(self.root, found)

    def path(self, id_: str) -> str:
        """Return what fsspec calls an object."""
        return f"{self.root}/{id_}"


def _below(root: str, found: Mapping[str, Mapping[str, Any]]) -> Mapping[str, Facts]:
    """What a store says of the objects that it has found below a root."""
    return {
        path[len(root) :].lstrip("/"): facts_of(info)
        for path, info in found.items()
        if info.get("type", "file") == "file" and path != root
    }


_stores: dict[str, Store] = {}  # of this process, by their address


def store_at(root: str | os.PathLike[str]) -> Store:
    """Return the store of a root, which is listed by the first call of this process."""
    url = url_of(root).rstrip("/")
    if url not in _stores:
        _stores[url] = Store(url)
    return _stores[url]


def list_anew() -> None:
    """Let go of what was listed: the next call of `store_at` asks again."""
    _stores.clear()


def listed(root: Path) -> Mapping[str, Facts]:
    """Return size and time of every object below a root, by its path below it."""
    return store_at(root).objects


def facts_at(path: str | os.PathLike[str]) -> Facts | None:
    """Return size and time of an object, as its root was listed, or else by asking; None if there is none."""
    store, id_ = _place(path)
    if store is not None:
        return store.objects.get(id_)
    try:
        return facts_of(_asked(path))
    except Exception:
        return None


def exists_now(path: str | os.PathLike[str]) -> bool:
    """Tell, by asking, whether the store answers and has something at a path or below it."""
    try:
        files, name = _opened(url_of(path))
        files.invalidate_cache()
        return bool(_tried(lambda: files.exists(name)))
    except Exception:
        return False


def read_object(path: str | os.PathLike[str]) -> tuple[bytes, int]:
    """Return the bytes of an object and its time; what may pass by itself is tried again.

    Raises FileNotFoundError if there is none, OSError.
    """
    files, name = _opened(url_of(path))
    store, id_ = _place(path)
    data: bytes = _passing(lambda: _tried(lambda: files.cat_file(name)))
    known = store.objects.get(id_) if store else None
    if known is None or known.size != len(data):  # written since it was listed
        known = object_facts(url_of(path))
    return data, known.mtime_ns


def object_facts(url: str) -> Facts:
    """Return size and time of an object, by asking for it. Raises FileNotFoundError if there is none, OSError."""
    return facts_of(_passing(lambda: _asked(url)))


def facts_or_none(url: str) -> Facts | None:
    """Return size and time of an object, by asking for it; None if there is none. Raises OSError."""
    try:
        return object_facts(url)
    except FileNotFoundError:
        return None


def ranges_of(url: str, starts: Sequence[int], ends: Sequence[int]) -> list[bytes]:
    """Return bytes starts[i] to ends[i] (exclusive) of an object, asked for together. Raises OSError."""
    files, name = _opened(url)

    def request() -> list[bytes]:
        return [bytes(one) for one in files.cat_ranges([name] * len(starts), [*starts], [*ends], on_error="raise")]

    return _passing(lambda: _tried(request))


def objects_below(url: str) -> Mapping[str, Facts]:
    """Return size and time of every object below an address, by its path there; none if nothing is there.

    Raises OSError.
    """
    files, name = _opened(url)
    files.invalidate_cache()
    try:
        found = _passing(lambda: _tried(lambda: files.find(name, detail=True)))
    except FileNotFoundError:
        return {}
    return _below(name, found)


def send_file(path: Path, url: str, sent: Callable[[int], object], replaced: Facts | None) -> Facts:
    """Make a file an object, which appears as a whole, and return its size and time; `sent` counts bytes.

    `replaced`: the object that may have the name now. Raises FileExistsError if another has it, OSError if the store
    does not take the file.
    """
    files, name = _opened(url)
    from fsspec.callbacks import Callback

    class Count(Callback):  # type: ignore[misc] # without types
        def relative_update(self, inc: int = 1) -> None:
            sent(inc)

    if facts_or_none(url) != replaced:
        raise FileExistsError(errno.EEXIST, "another object has this name", url)
    _passing(lambda: _tried(lambda: files.put_file(os.fspath(path), name, callback=Count())))
    found = object_facts(url)
    if found.size != path.stat().st_size:
        raise OSError(errno.EIO, f"expected {path.stat().st_size} bytes there, found {found.size}")
    return found


def _passing(request: Callable[[], T]) -> T:
    """Give what a request gives; whatever a store's package raises is an OSError."""
    try:
        return request()
    except FOR_GOOD:
        raise
    except Exception as error:  # not always one
        number = errno.EINVAL if _is_wrong_use(error) else errno.EIO  # which may pass by itself
        raise OSError(number, reason(error)) from error


def _is_wrong_use(error: BaseException | None) -> bool:
    """Tell whether an error, or one that it comes from, says that an address, a key or a setting cannot be."""
    while error is not None:
        if type(error) in (ValueError, NotImplementedError) or type(error).__name__ in WRONG_USE:
            return True
        error = error.__cause__ or error.__context__
    return False


def facts_of(info: Mapping[str, Any]) -> Facts:
    """Return size and time of what fsspec says of an object; 0 where the store does not say."""
    when = next((info[name] for name in TIMES if info.get(name)), 0)
    seconds = _seconds(when)
    tag = next((str(info[name]) for name in TAGS if info.get(name)), "")
    below = zlib.crc32(tag.encode()) % 10**9 if tag else 0
    return Facts(int(info.get("size") or 0), seconds * 10**9 + below)


def _seconds(when: object) -> int:
    """A time in seconds since 1970, however a store says it; a text that is none by its checksum."""
    if isinstance(when, str):
        try:
            return int(datetime.fromisoformat(when.replace("Z", "+00:00")).timestamp())
        except ValueError:
            return zlib.crc32(when.encode())
    return int(when.timestamp()) if isinstance(when, datetime) else int(when) if isinstance(when, int | float) else 0


def reason(error: BaseException) -> str:
    """Return why something failed, as one line."""
    said = getattr(error, "strerror", None) or str(error) or type(error).__name__
    if isinstance(error, FileNotFoundError) and not error.strerror:  # as s3fs has it: the address alone
        said = f"no {said}"
    return " ".join(str(said).split())[:300]


def _place(path: str | os.PathLike[str]) -> tuple[Store | None, str]:
    """The store that lists a path, and the path below its root; None if no root above it was listed."""
    url = url_of(path)
    for store in [*_stores.values()]:
        if url.startswith(f"{store.url}/"):
            return store, url[len(store.url) + 1 :]
    return None, ""


def _asked(path: str | os.PathLike[str]) -> Mapping[str, Any]:
    files, name = _opened(url_of(path))
    files.invalidate_cache()
    found: Mapping[str, Any] = _tried(lambda: files.info(name))
    if found.get("type") == "directory":
        raise IsADirectoryError(errno.EISDIR, "a folder", url_of(path))
    return found


def opened_object(url: str) -> Any:  # noqa: ANN401 - a file as Python's, of any package
    """Open an object for reading at any place, by blocks that are kept. Raises OSError."""
    files, name = _opened(url)
    return _passing(lambda: files.open(name, "rb", block_size=BLOCK, cache_type="blockcache"))


def _opened(url: str) -> tuple[Any, str]:
    """fsspec's file system of an address, and what it calls the object there. Raises ExtraError."""
    try:
        import fsspec

        files, name = fsspec.core.url_to_fs(url)
    except ImportError as error:
        raise ExtraError(f"{url}: expected fsspec and the package of this kind of store, found: {reason(error)}; pip "
                         "install 'amnet[remote]'") from error  # fmt: skip
    return files, name.rstrip("/")


def _tried(request: Callable[[], T]) -> T:
    """Ask several times, with longer and longer pauses, unless the answer is one that stays."""
    for attempt in range(TRIES - 1):
        try:
            return request()
        except FOR_GOOD:
            raise
        except Exception as error:
            if _is_wrong_use(error):
                raise
            time.sleep(FIRST_PAUSE * 2**attempt)
    return request()
