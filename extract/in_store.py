"""A collection whose place is an object store: filled on this machine, and sent when every byte of it has been checked.

An object is made once and never changed, but for the link of a collection that follows a folder: a night sends a new
part, then the link that names it. The folder here has copies of what the store has, without features, and files that
the store has not got yet; `mirror.is_copy` tells which is which. What one command leaves, the next one goes on with.
"""

import contextlib
import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from amnet_common.collection import Collection
from amnet_common.collection.layout import PENDING
from amnet_common.collection.mirror import cache_folder, forget, is_copy, mirrored, settle
from amnet_common.collection.parts_folder import NAME, folder_of, next_path, numbered
from amnet_common.collection.structure import read_structure
from amnet_common.collection.verify import verify_rows, verify_structure
from amnet_common.commands import progress, say, say_done
from amnet_common.errors import BegunAnewError, CollectionError, ConfigError, ExistsError, OutputError
from amnet_common.files import write_text
from amnet_common.only_writer import only_writer
from amnet_common.remote import (
    Facts,
    copy_object,
    exists_now,
    object_facts,
    objects_below,
    reason,
    send_file,
    takes_whole,
    url_of,
)
from amnet_common.reporting import moved


@dataclass(frozen=True)
class InStore:
    """Hold the address of a collection, the file here that stands for it, and what the store had of it at first.

    `parts`: the objects in its folder of parts, by name; `follows`: it has such a folder.
    """

    url: str
    local: Path
    there: Facts | None
    parts: frozenset[str]
    follows: bool

    def refuse_to_fill(self, images: int) -> None:
        """Raise ExistsError where images are left to do in a file that the store has, which is not changed there."""
        if images and is_copy(self.local):
            raise ExistsError(f"--out {self.url}: expected nothing left to do in a file that is in the store, found "
                              f"{images} images; --sync puts them into a part beside it, --overwrite makes it anew, or "
                              "go on with a copy of this machine")  # fmt: skip

    def send(self, status: int) -> int:
        """Send what the store has not got, unless a command has ended otherwise than by 0 or 1; return its status.

        Raises CollectionError if a byte is not as it was written, BegunAnewError if the store has other by now,
        OutputError if it does not take the files.
        """
        if status > 1:
            say(f"not sent to {self.url} yet: {self.local} is not finished; the same command goes on", err=True)
            return status
        sent = [*(self._send_parts() if self.follows else ()), *self._send_whole()]
        moved(self.local, self.url)
        files = f"{len(sent)} file{'s' * (len(sent) > 1)} sent, {sum(sent) / 1e9:.2f} GB"
        say_done(f"{self.url}: {files if sent else 'nothing to send'}")
        return status

    def _send_parts(self) -> Iterator[int]:
        """Send the parts that are new, and yield the bytes of each; a plain collection becomes the first of them."""
        for part in Collection(self.local).parts:
            address = f"{self.url}.parts/{part.path.name}"
            if not is_copy(part.path):
                yield self._sent(part.path, address, new=True)
            elif part.path.name not in self.parts:
                with self._explained(address):
                    settle(part.path, copy_object(self.url, address))

    def _send_whole(self) -> Iterator[int]:
        """Send the file itself if it is new, and yield its bytes."""
        if self._store_has_it():
            return
        if facts_or_none(self.url) != self.there:
            raise BegunAnewError(f"--out {self.url}: expected the object that was there, found another: one from "
                                 "elsewhere has taken its name meanwhile; run the same command again")  # fmt: skip
        sha256 = _sha256(self.local) if self.follows else ""
        yield self._sent(self.local, self.url, new=self.there is None)
        if self.follows:
            write_text(_memory(self.local), sha256)
        else:
            forget(self.local)
            _memory(self.local).unlink(missing_ok=True)

    def _store_has_it(self) -> bool:
        return _sha256(self.local) == _remembered(self.local) if self.follows else is_copy(self.local)

    def _sent(self, path: Path, address: str, new: bool) -> int:
        """Send one file once it is verified, and make what is here a copy of it; return its bytes."""
        refuse_damaged(path)
        size = path.stat().st_size
        with self._explained(address), progress("send", size, "bytes") as bar:
            settle(path, send_file(path, address, bar.update, new))
        moved(path, address)
        return size

    @contextlib.contextmanager
    def _explained(self, address: str) -> Iterator[None]:
        try:
            yield
        except FileExistsError as error:
            raise BegunAnewError(f"{address}: expected none, found one from elsewhere; run the same command again"
                                 ) from error  # fmt: skip
        except OSError as error:
            raise OutputError(f"--out {self.url}: {address} cannot be written: {reason(error)}; {self.local} keeps "
                              "what is done, and the same command sends it") from error  # fmt: skip


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
        there = facts_or_none(url)
        with _answering(url):
            parts = {name: facts for name, facts in objects_below(f"{url}.parts").items() if NAME.fullmatch(name)}
        if there is None and not parts:
            refuse_missing_bucket(url)
        if follows:
            bring_link(url, local, there, moved_aside=bring_parts(url, local, parts))
        else:
            bring_file(url, local, there, overwrite)
        say(f"note: filled at {local}, and sent to {url} when it is finished", err=True)
        yield InStore(url, local, there, frozenset(parts), follows)


def refuse_address(url: str) -> None:
    """Raise ConfigError for an address that is none of a file, or of a store where a file could appear in part."""
    if not takes_whole(url):
        raise ConfigError(f"--out {url}: expected a file of this machine, or of s3, gs or az, where an object appears "
                          "as a whole; copy it there when it is finished")  # fmt: skip
    if not url.partition("://")[2].strip("/").partition("/")[2] or url.endswith("/"):
        raise ConfigError(f"--out {url}: expected bucket and file, as in s3://bucket/photos.h5, found no file")


def refuse_missing_bucket(url: str) -> None:
    """Raise OutputError where the store has no such bucket."""
    kind, _, rest = url.partition("://")
    bucket = f"{kind}://{rest.strip('/').partition('/')[0]}"
    if kind != "memory" and not exists_now(bucket):
        raise OutputError(f"--out {url}: expected a bucket that is there, found no {bucket}")


def bring_file(url: str, local: Path, there: Facts | None, overwrite: bool) -> None:
    """Keep here what was begun, or else make a copy of what the store has; with `overwrite` only the former.

    What an unfinished file is to replace is remembered, so that nothing else is replaced by it.
    """
    if is_copy(local) and (overwrite or there is None or not is_copy(local, there)):
        forget(local)
    if there is None or overwrite:
        write_text(_memory(local), _text(there))
    elif not local.exists():
        mirrored(url, local)
    elif not is_copy(local) and _remembered(local) != _text(there):
        if read_structure(local).uuid != read_structure(mirrored(url)[0]).uuid:
            raise ExistsError(f"--out {url}: expected the object that was there when {local} was begun, found another; "
                              f"--overwrite replaces it by one made anew, or remove {local}")  # fmt: skip
        forget(local)  # it was sent, by a command that was killed then
        mirrored(url, local)


def bring_parts(url: str, local: Path, objects: dict[str, Facts]) -> bool:
    """Copy all parts that the store has, without features; return whether parts made here had to give up names."""
    folder = folder_of(local)
    aside = {}
    for name in objects:
        if (folder / name).exists() and not is_copy(folder / name):
            last = max(*(int(one.removesuffix(".h5")) for one in objects), int(next_path(folder).stem) - 1)
            aside[name] = folder / f"{last + 1:04d}.h5"
            os.rename(folder / name, aside[name])
    for name, facts in objects.items():
        if not is_copy(folder / name, facts) or not (folder / name).exists():
            mirrored(f"{url}.parts/{name}", folder / name)
    for name, path in aside.items():
        if read_structure(path).uuid == read_structure(folder / name).uuid:  # sent by a command that was killed then
            path.unlink()
    for path in numbered(folder):
        if is_copy(path) and path.name not in objects:
            forget(path)
    return bool(aside)


def bring_link(url: str, local: Path, there: Facts | None, moved_aside: bool) -> None:
    """Copy the link that the store has, unless one is here that was made of it and not sent yet.

    A plain collection of the store becomes a part here; there it does when the link is sent.
    """
    if there is None:
        if is_copy(local):
            forget(local)
        return
    plain = local.exists() and read_structure(local).planes is not None
    if plain and not is_copy(local):  # begun here without --sync: its images are found in it as in any part
        folder_of(local).mkdir(exist_ok=True)
        os.rename(local, next_path(folder_of(local)))
    elif is_copy(local, there) and not (plain or moved_aside):
        return
    forget(local)
    if mirrored(url, local)[1] is None:
        write_text(_memory(local), _sha256(local))
        refuse_pending(local, url)
        return
    uuid, path = read_structure(local).uuid, next_path(folder_of(local))
    forget(local)
    if uuid not in {read_structure(part).uuid for part in numbered(path.parent)}:
        mirrored(url, path)
        refuse_pending(path, url)


def refuse_pending(path: Path, url: str) -> None:
    """Raise CollectionError for a copy of a collection that is not finished: its features are not here to go on."""
    if pending := int((Collection(path).status == PENDING).sum()):
        forget(path)
        raise CollectionError(f"--out {url}: expected a finished collection, found {pending} pending images; finish a "
                              "copy of it on a machine, and put that into the store")  # fmt: skip


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


def facts_or_none(url: str) -> Facts | None:
    """Return size and time of an object; None if there is none. Raises OutputError if the store does not say."""
    with _answering(url):
        try:
            return object_facts(url)
        except FileNotFoundError:
            return None


@contextlib.contextmanager
def _answering(url: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise OutputError(f"--out {url}: the store does not say what is there: {reason(error)}") from error


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
