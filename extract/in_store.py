"""A collection whose place is an object store: filled on this machine, and sent when every byte of it has been checked.

An object is made once and never changed, but for the link of a collection that follows a folder: a night sends a new
part, whose name no other machine can choose, then the link that names it. The folder here has copies of what the store
has, without features, and files that the store has not got yet; `mirror.is_copy` tells which is which. What one
command leaves, the next one goes on with.
"""

import contextlib
import hashlib
import os
import secrets
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from amnet_common.collection import Collection
from amnet_common.collection.mirror import (
    cache_folder,
    forget,
    forget_strays,
    is_copy,
    mirrored,
    segment_of,
    settle,
)
from amnet_common.collection.parts_folder import NAME, folder_of, next_path, numbered
from amnet_common.collection.structure import read_structure
from amnet_common.collection.verify import verify_rows, verify_structure
from amnet_common.commands import progress, say, say_done
from amnet_common.errors import BegunAnewError, CollectionError, ConfigError, ExistsError, OutputError
from amnet_common.files import write_text
from amnet_common.only_writer import only_writer
from amnet_common.remote import (
    Facts,
    exists_now,
    facts_or_none,
    objects_below,
    reason,
    send_file,
    takes_whole,
    url_of,
)
from amnet_common.reporting import moved

LONGEST = 200  # bytes of a name, so that what stands beside it here has names too


@dataclass(frozen=True)
class InStore:
    """Hold the address of a collection, the file here that stands for it, and what the store had of it at first.

    `mark`: in the names of new parts, of this command alone; `follows`: the collection has parts. `overwrite`: it is to
    be made anew.
    """

    url: str
    local: Path
    there: Facts | None
    mark: str
    follows: bool
    overwrite: bool

    def refuse_to_fill(self, images: int) -> None:
        """Raise ExistsError where images are left to do in a file that the store has, which is not changed there."""
        if images and is_copy(self.local):
            raise ExistsError(f"--out {self.url}: expected nothing left to do in a file that is in the store, found "
                              f"{images} images; --overwrite makes it anew, or go on with a copy of this machine; with "
                              "--sync from the first night on, new images go into parts beside it")  # fmt: skip

    def announce(self) -> None:
        """Say where the collection is filled."""
        say(f"note: filled at {self.local}, and sent to {self.url} when it is finished", err=True)

    def begun(self, _: object = None) -> None:
        """Remember what the new file of --overwrite, which is there now, replaces: it is to replace nothing else."""
        if self.overwrite:
            write_text(_memory(self.local), _text(self.there))

    def send(self, status: int) -> int:
        """Send what the store has not got, unless a command has ended otherwise than by 0 or 1; return its status.

        Raises CollectionError if a byte is not as it was written, BegunAnewError if the store has other by now,
        OutputError if it does not take the files.
        """
        if status > 1:
            say(f"not sent to {self.url} yet: {self.local} is not finished; {self._again} goes on", err=True)
            return status
        sent = [*(self._send_parts() if self.follows else ()), *self._send_whole()]
        moved(self.local, self.url)
        files = f"{len(sent)} file{'s' * (len(sent) > 1)} sent, {sum(sent) / 1e9:.2f} GB"
        say_done(f"{self.url}: {files if sent else 'nothing to send'}")
        return status

    @property
    def _again(self) -> str:
        return "the same command without --overwrite" if self.overwrite else "the same command"

    def _send_parts(self) -> Iterator[int]:
        """Send the parts that are new, and yield the bytes of each."""
        for part in Collection(self.local).parts:
            if not is_copy(part.path):
                yield self._sent(part.path, f"{self.url}.parts/{part.path.name}", None)

    def _send_whole(self) -> Iterator[int]:
        """Send the file itself if it is new, and yield its bytes."""
        sha256 = _sha256(self.local) if self.follows else ""
        if sha256 == _remembered(self.local) if self.follows else is_copy(self.local):
            return
        yield self._sent(self.local, self.url, self.there)
        if self.follows:
            write_text(_memory(self.local), sha256)
        else:
            forget(self.local)
            _memory(self.local).unlink(missing_ok=True)

    def _sent(self, path: Path, address: str, replaced: Facts | None) -> int:
        """Send one file once it is verified, and make what is here a copy of it; return its bytes."""
        refuse_damaged(path)
        size = path.stat().st_size
        try:
            with progress("send", size, "bytes") as bar:
                now = send_file(path, address, bar.update, replaced)
        except FileExistsError as error:
            raise BegunAnewError(f"--out {self.url}: expected the object that was there, found another: one from "
                                 f"elsewhere has taken the name {address} meanwhile; run {self._again} again"
                                 ) from error  # fmt: skip
        except OSError as error:
            raise OutputError(f"--out {self.url}: {address} cannot be written: {reason(error)}; {self.local} keeps "
                              f"what is done, and {self._again} sends it") from error  # fmt: skip
        settle(path, now)
        moved(path, address)
        return size


@contextlib.contextmanager
def in_store(out: Path, follows: bool, overwrite: bool) -> Iterator[InStore]:
    """Make the folder here agree with what the store has of the collection `out`, and be the only one in it meanwhile.

    Raises ConfigError for an address that is no file or cannot be written as a whole, BusyError, OutputError if the
    store does not answer, ExistsError where it has another collection than the one that was begun here.
    """
    url = url_of(out)
    refuse_address(url)
    folder = cache_folder() / "out" / hashlib.sha256(url.encode()).hexdigest()[:16]
    local = folder / url.rpartition("/")[2]
    with only_writer(folder, f"--out {url}, filled in", make_folders=True):
        folder.mkdir(exist_ok=True)
        for one in (folder, folder_of(local)):
            forget_strays(one)
        there, parts = looked_at(url)
        mark = secrets.token_hex(4)
        if follows:
            bring_parts(url, local, parts)
            bring_link(url, local, there, mark)
        else:
            bring_file(url, local, there, parts, overwrite)
        yield InStore(url, local, there, mark, follows, overwrite)


def refuse_address(url: str) -> None:
    """Raise ConfigError for an address that is none of a file, or of a store where a file could appear in part."""
    if not takes_whole(url):
        raise ConfigError(f"--out {url}: expected a file of this machine, or of s3, gs or az, where an object appears "
                          "as a whole; copy it there when it is finished")  # fmt: skip
    steps = url.partition("://")[2].strip("/").split("/")
    if len(steps) == 1 or not all(steps):
        raise ConfigError(f"--out {url}: expected bucket and file, as in s3://bucket/photos.h5, found no file")
    if {".", ".."} & {*steps} or "?versionId=" in url or len(os.fsencode(steps[-1])) > LONGEST:
        raise ConfigError(f"--out {url}: expected a name of at most {LONGEST} bytes, without . and .. as folders and "
                          "without a version")  # fmt: skip


def looked_at(url: str) -> tuple[Facts | None, Mapping[str, Facts]]:
    """Return size and time of an object, None if there is none, and those of the parts beside it, by name.

    Raises OutputError if the store does not say, or has no such bucket.
    """
    kind, _, rest = url.partition("://")
    bucket = f"{kind}://{rest.strip('/').partition('/')[0]}"
    try:
        there = facts_or_none(url)
        parts = {name: facts for name, facts in objects_below(f"{url}.parts").items() if NAME.fullmatch(name)}
        if there is None and not parts and kind != "memory" and not exists_now(bucket):
            raise OutputError(f"--out {url}: expected a bucket that is there, found no {bucket}, or may not see it")
    except OutputError:
        raise
    except OSError as error:
        raise OutputError(f"--out {url}: expected to learn what is there, found: {reason(error)}") from error
    return there, parts


def bring_file(url: str, local: Path, there: Facts | None, parts: Mapping[str, Facts], overwrite: bool) -> None:
    """Keep here what was begun, or else make a copy of what the store has; with `overwrite` do the former alone.

    What an unfinished file is to replace is remembered, so that nothing else is replaced by it.
    """
    if parts:
        raise ExistsError(f"--out {url}: expected a collection without parts, found {len(parts)} in {url}.parts; say "
                          "--sync, or remove both from the store")  # fmt: skip
    if overwrite and there:
        try:
            segment_of(url)
        except CollectionError as error:
            raise CollectionError(f"--overwrite throws away collections only: {error}; remove the object yourself"
                                  ) from error  # fmt: skip
    stale = is_copy(local) and (overwrite or there is None or not is_copy(local, there))
    if stale or (overwrite and local.exists() and is_link(local)):
        forget(local)
    if not local.exists():
        _memory(local).unlink(missing_ok=True)
        if there and not overwrite:
            mirrored(url, local)
    elif there and not (overwrite or is_copy(local)) and _remembered(local) != _text(there):
        if read_structure(local).uuid != read_structure(mirrored(url)[0]).uuid:
            raise ExistsError(f"--out {url}: expected the object that was there when {local} was begun, found another; "
                              "--overwrite makes it anew, or give another --out")  # fmt: skip
        forget(local)  # it was sent, by a command that was killed then
        mirrored(url, local)


def bring_parts(url: str, local: Path, objects: Mapping[str, Facts]) -> None:
    """Copy all parts that the store has, without features; what is no object any more goes."""
    folder = folder_of(local)
    for name, facts in objects.items():
        path, address = folder / name, f"{url}.parts/{name}"
        if path.exists() and not is_copy(path):
            if read_structure(path).uuid == read_structure(mirrored(address)[0]).uuid:
                settle(path, facts)  # it was sent, by a command that was killed then
            else:  # put there by hand
                os.rename(path, next_path(folder, secrets.token_hex(4)))
        if not is_copy(path, facts):
            mirrored(address, path)
    for path in numbered(folder):
        if is_copy(path) and path.name not in objects:
            forget(path)


def bring_link(url: str, local: Path, there: Facts | None, mark: str) -> None:
    """Copy the link that the store has, unless one is here that was made of it and not sent yet.

    A link whose parts are gone is no more: the collection is made again of the parts that are there. Raises
    CollectionError for a plain collection of the store, or a link with parts elsewhere.
    """
    if there is None and is_copy(local):
        forget(local)
    if there is not None:
        if local.exists() and not is_copy(local) and not is_link(local):  # begun here without --sync: a part like any
            folder_of(local).mkdir(exist_ok=True)
            os.rename(local, next_path(folder_of(local), mark))
        if not is_copy(local, there):
            forget(local)
            mirrored(url, local)
            write_text(_memory(local), _sha256(local))
        if not is_link(local):
            raise CollectionError(f"--out {url}: expected a collection that --sync has made, found one without parts; "
                                  f"move it to {url}.parts/0001.h5 within the store, and say --sync again")  # fmt: skip
    if local.exists() and is_link(local):
        drop_broken(url, local)


def drop_broken(url: str, local: Path) -> None:
    """Remove a link here whose parts are not there. Raises CollectionError if they are elsewhere."""
    for name, _ in read_structure(local).sources:
        if Path(name).parent != Path(folder_of(local).name):
            raise CollectionError(f"--out {url}: expected its parts in {url}.parts, found {name}; give it the name "
                                  "that it had when it was made")  # fmt: skip
    try:
        Collection(local)
    except CollectionError as error:
        say(f"note: {url} is made again of the parts that are there: {error}", err=True)
        forget(local)
        _memory(local).unlink(missing_ok=True)


def refuse_damaged(path: Path) -> None:
    """Raise CollectionError unless every byte of a file that is to be sent is what was written."""
    collection = Collection(path)
    problems = verify_structure(path, collection)
    if not collection.linked:
        with progress("verify", len(collection), "images") as bar:
            for row in verify_rows(collection.parts[0]):
                bar.update()
                problems += row.problems
    if problems:
        raise CollectionError(f"{path}: not sent: {problems[0].text}; amnet-cache verify {path} --repair marks what is "
                              "damaged for the same command")  # fmt: skip


def is_link(path: Path) -> bool:
    """Tell whether a collection has its features in parts. Raises CollectionError if it is none."""
    return read_structure(path).planes is None


def _memory(local: Path) -> Path:
    """Name the file that remembers the object that a file is to replace; of a link, the hash of what the store has."""
    return local.with_name(f".{local.name}.store")


def _remembered(local: Path) -> str | None:
    try:
        return _memory(local).read_text()
    except FileNotFoundError:
        return None


def _text(facts: Facts | None) -> str:
    return f"{facts.size} {facts.mtime_ns}" if facts else ""


def _sha256(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
