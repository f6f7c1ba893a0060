"""Where a collection comes from, as its file remembers it."""

import sys

import amnet_common
from amnet_common.datasets import Dataset
from amnet_common.making import made_here
from extract.known import resolved_root
from extract.weight_source import remembered


def provenance(dataset: Dataset, weights: str) -> dict[str, object]:
    """Return where a collection comes from: kept for people, never compared but to save time (weight_source.py)."""
    return {
        **dataset.about,
        "dataset": dataset.name,
        "image_root": resolved_root(dataset),
        **remembered(weights),
        "amnet": amnet_common.__version__,
        "python": sys.version.split()[0],
        "made": made_here(),
    }
