"""--features given again: several collections of the same images as one, and what is to be said of how they differ."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from amnet_common.collection import Collection, JoinedCollection
from amnet_common.collection.side_by_side import opened
from amnet_common.commands import say
from amnet_common.errors import ConfigError, SpecError

if TYPE_CHECKING:
    from headtrain.heads.provenance import Provenance


def opened_together(files: Sequence[Path]) -> Collection:
    """Open the collections of --features as one, and say how they differ. Raises CollectionError."""
    found = opened(files)
    say_notes(found)
    return found


def say_notes(collection: Collection) -> None:
    """Print a note for each thing in which collections that are joined differ."""
    for note in collection.notes if isinstance(collection, JoinedCollection) else ():
        say(f"note: {note}", err=True)


def opened_for(made: "Mapping[str, Provenance | None]", files: Sequence[Path]) -> Collection:
    """Open the collection of --features for heads by their names, or those together that they were trained on, in the
    heads' order.

    Raises SpecError where collections and heads are not of each other, ConfigError for several of --features that no
    head was trained on together.
    """
    return joined_for(made, [Collection(file) for file in files])[0] if any_joint(made) else one_of(made, files)


def any_joint(made: "Mapping[str, Provenance | None]") -> bool:
    """Tell whether one of the heads was trained on several collections together."""
    from headtrain.scoring.arranging import is_joint

    return any(map(is_joint, made.values()))


def one_of(made: "Mapping[str, Provenance | None]", files: Sequence[Path]) -> Collection:
    """Open the one collection of --features. Raises ConfigError for several."""
    if len(files) != 1:
        name = next(iter(made), "none of these runs")
        raise ConfigError(f"--features: expected one collection, as {name} was not trained on several together, found "
                          f"{len(files)}")  # fmt: skip
    return Collection(files[0])


def joined_for(made: "Mapping[str, Provenance | None]", collections: Sequence[Collection]) -> tuple[Collection, ...]:
    """Join collections in the order of the heads that were trained on them together, if such are among them; else
    return them as they are.

    Raises SpecError for heads of unlike features, or where a collection is missing or is read by none.
    """
    from headtrain.scoring.arranging import arranged, is_joint

    if not any_joint(made):
        return tuple(collections)
    (name, first), *_ = ((name, one) for name, one in made.items() if one and is_joint(one))
    assert first is not None
    for other, provenance in made.items():
        if not is_joint(provenance):
            raise SpecError(f"{other}: expected heads of the same features, found this one of one collection beside "
                            f"{name} of several together; name them apart, or put them together with amnet-head "
                            "evaluate")  # fmt: skip
    found = arranged(name, first, collections)
    if idle := [str(one.path) for one in collections if one.path not in found.files]:
        raise SpecError(f"--features {idle[0]}: expected the {len(found.joined)} collections that {name} was trained "
                        "on together, found this one beside them")  # fmt: skip
    say_notes(found)
    return (found,)
