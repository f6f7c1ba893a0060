"""The front door: the public names of amnet, and nothing else. docs/api.md shows them at work."""

from importlib import import_module
from typing import TYPE_CHECKING

from amnet_common import __version__

if TYPE_CHECKING:
    from amnet_common.collection import Collection, JoinedCollection
    from extract.in_memory import extract_features
    from headtrain.heads.checkpoint import load_head
    from headtrain.heads.head import Head, Output
    from headtrain.heads.own import name_head
    from headtrain.scoring.scores import score_collection

__all__ = [
    "Collection",
    "Head",
    "JoinedCollection",
    "Output",
    "__version__",
    "extract_features",
    "load_head",
    "name_head",
    "score_collection",
]

HOMES = {
    "Collection": "amnet_common.collection",
    "Head": "headtrain.heads.head",
    "JoinedCollection": "amnet_common.collection",
    "Output": "headtrain.heads.head",
    "extract_features": "extract.in_memory",
    "load_head": "headtrain.heads.checkpoint",
    "name_head": "headtrain.heads.own",
    "score_collection": "headtrain.scoring.scores",
}


def __getattr__(name: str) -> object:
    """Import a public name when it is asked for: torch takes seconds, and `amnet.Collection` does not need it."""
    if name in HOMES:
        return getattr(import_module(HOMES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    """List the public names for completion."""
    return __all__
