"""`amnet-cache compact`: many parts become one file; the old ones go when every byte of the new one holds."""

from collections.abc import Callable, Iterable
from pathlib import Path

from amnet_common.collection.copying import copy_rows, prepare, refuse_damaged
from amnet_common.collection.parts_folder import COPIED, remove_superseded
from amnet_common.collection.reader import Collection
from amnet_common.datasets import Dataset
from amnet_common.errors import CollectionError, ExistsError
from amnet_common.files import publish, replace_by
from amnet_common.making import made_here

Advance = Callable[[int], object]


def stage_of(path: Path) -> Path:
    """Return the file that is filled meanwhile; a command that was killed goes on there."""
    return path.with_name(f"{path.name}.compacting")


def compact(path: Path, out: Path | None, copied: Advance, checked: Advance) -> bool:
    """Copy all rows of a collection into one file, which takes its name, or is the new file `out`; parts of its own go.

    Every view is compared with its checksum when it is read, and again in the new file before the old one goes. The
    same call goes on where a kill stopped it. Returns False if there is nothing to do: it is one file already. `copied`
    and `checked` get numbers of rows. Raises CollectionError for damaged features, ExistsError if `out` exists,
    OutputError.
    """
    collection = Collection(path)
    if out is None and not collection.linked:
        remove_superseded(path, collection)
        return False
    if out is not None and out.exists():
        raise ExistsError(f"--out {out}: expected a new file, found one that exists")
    stage, parts = stage_of(out or path), list(collection.parts)
    about = {name: value for name, value in collection.provenance.items() if name not in ("made", "linked")}
    about |= {"compacted_from": collection.uuid, COPIED: [part.structure.uuid for part in parts], "made": made_here()}
    prepare(stage, collection, as_dataset(collection), about)
    _all(copy_rows(collection, range(len(collection)), stage), copied)
    _all(refuse_damaged(stage), checked)
    refuse_replaced(path, collection)
    if out is not None:
        publish({out: stage})
        stage.unlink()
        return True
    replace_by(stage, path)
    remove_superseded(path, Collection(path))
    return True


def as_dataset(collection: Collection) -> Dataset:
    """Return the images of a collection with their scores and lists."""
    name, root = (str(collection.provenance.get(key, "")) for key in ("dataset", "image_root"))
    return Dataset(name, Path(root), collection.ids, collection.splits, collection.labels)


def refuse_replaced(path: Path, collection: Collection) -> None:
    """Raise CollectionError if a name stands for another collection by now."""
    if Collection(path).uuid != collection.uuid:
        raise CollectionError(f"{path}: expected the collection that was copied, found it replaced meanwhile; run the "
                              "command again")  # fmt: skip


def _all(numbers: Iterable[int], advance: Advance) -> None:
    for number in numbers:
        advance(number)
