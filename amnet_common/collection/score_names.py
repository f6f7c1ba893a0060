"""What the scores of a collection are called: memorability, unless it says otherwise."""

from amnet_common.collection.reader import Collection
from amnet_common.errors import ConfigError

MEMORABILITY = "memorability"
KEY = "score_name"  # in the provenance
MOST_CHARACTERS = 60


def score_name_of(collection: Collection) -> str:
    """Return what the scores of a collection are called; a name that cannot be is passed over."""
    name = collection.provenance.get(KEY)
    return name if isinstance(name, str) and _is_name(name) else MEMORABILITY


def named(name: str | None) -> dict[str, str]:
    """Return what a collection keeps of --score-name; nothing without one. Raises ConfigError for no name."""
    if name is None:
        return {}
    if not _is_name(name):
        raise ConfigError(f"--score-name: expected a word or two, such as valence, of at most {MOST_CHARACTERS} "
                          f"characters, found {name[:80]!r}")  # fmt: skip
    return {KEY: name}


def _is_name(name: str) -> bool:
    return name.isprintable() and name == name.strip() != "" and len(name) <= MOST_CHARACTERS
