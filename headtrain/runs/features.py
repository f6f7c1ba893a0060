"""The collections that a run was made from: what its folder keeps of them, and how they are opened again."""

from pathlib import Path
from typing import Any

from amnet_common.collection import Collection
from amnet_common.collection.side_by_side import opened
from headtrain.runs.documents import Begun, Result


def features_of(collection: Collection) -> dict[str, Any]:
    """Return what a run keeps of the collection that it was made from, by the names of fields: its files, their place
    now.
    """
    first, *others = (str(path.absolute()) for path in collection.files)
    return {"features": first} | ({"joined_with": tuple(others)} if others else {})


def features_files(said: Begun | Result) -> tuple[Path, ...]:
    """Return the files that a run was made from."""
    return (Path(said.features), *map(Path, said.joined_with))


def features_stem(said: Begun | Result) -> str:
    """Return the name of the files that a run was made from, without endings."""
    return "+".join(path.stem for path in features_files(said))


def opened_features(said: Begun | Result) -> Collection:
    """Open what a run was made from. Raises CollectionError where it is gone."""
    return opened(features_files(said))
