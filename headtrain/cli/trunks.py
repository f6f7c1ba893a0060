"""Whether heads and collections are of the same trunk, said before anything is computed."""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from amnet_common.collection import Collection
from amnet_common.commands import say_wrong

if TYPE_CHECKING:
    from headtrain.heads.provenance import Provenance


def warn_of_other_trunks(made: "Mapping[str, Provenance | None]", collections: Iterable[Collection]) -> None:
    """Print a line for each head, by its name, and each collection that is not of its trunk, or cut otherwise."""
    from headtrain.scoring.scores import trunk_differences

    for collection in collections:
        for name, provenance in made.items():
            if unlike := trunk_differences(provenance, collection):
                say_wrong(f"warning: {name} was trained on other features than those of {collection.path}: "
                          f"{'; '.join(unlike)}")  # fmt: skip
