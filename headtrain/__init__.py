"""Stage two: heads on cached features. It never runs the trunk; image files it opens only to draw over them."""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from headtrain.heads.checkpoint import load_head
    from headtrain.scoring.scores import score_collection

__all__ = ["load_head", "score_collection"]

HOMES = {"load_head": "headtrain.heads.checkpoint", "score_collection": "headtrain.scoring.scores"}


def __getattr__(name: str) -> object:
    """Import a public function when it is asked for: torch takes seconds, and --help should not."""
    if name in HOMES:
        return getattr(import_module(HOMES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
