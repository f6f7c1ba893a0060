"""Predictions for the lists of a split by what is already there: heads together, or another system's table."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from amnet_common.collection import Collection
from amnet_common.errors import RunError
from headtrain.features.seen import content_keys, from_text
from headtrain.features.splits import Subsets, selection_on_test
from headtrain.heads.checkpoint import BEST, load_head
from headtrain.heads.head import Head
from headtrain.scoring.ensemble import predict_together
from headtrain.scoring.scores import refuse_other_shape
from headtrain.settings.configuration import TrainingConfig


@dataclass(frozen=True)
class Evaluated:
    """Hold the predictions for the validation and test images of a split, on the data's scale."""

    val: np.ndarray  # (n_val,) float64; all NaN where a table has not all of these images
    test: np.ndarray  # (n_test,) float64


def by_heads(heads: Sequence[Head], collection: Collection, subsets: Subsets, views: Sequence[int]) -> Evaluated:
    """Compute the mean of all heads' scores over `views`, validation and test images alike. Raises SpecError if a head
    was made for features of another shape, CollectionError for damaged features.
    """
    for head in heads:
        refuse_other_shape(head, collection)
    both = (subsets.val, subsets.test)
    return Evaluated(*(predict_together(heads, collection, subset.rows, views).score for subset in both))


def chosen_by_heads(subsets: Subsets, heads: Sequence[Head], split: int) -> Subsets:
    """Return the subsets as they are to these heads: where the test list chose the epoch of one, optimistic."""
    if not any(settings.select_on == "test" for settings in _trained(heads)):
        return subsets
    return replace(subsets, selection=selection_on_test(split), optimistic=True)


def have_seen_validation(heads: Sequence[Head], collection: Collection, split: int, data_seed: int) -> bool:
    """Tell whether a head was trained on images that validate here: with no list of them they are a seeded tenth of
    the training list, which another --data-seed, or the test list in its place, has left to the training.
    """
    if f"val_{split}" in collection.splits:
        return False
    return any(one.select_on == "test" or one.data_seed != data_seed for one in _trained(heads))


def refuse_seen(runs: Sequence[Path], heads: Sequence[Head], collection: Collection, subsets: Subsets) -> None:
    """Raise RunError if one of `heads`, of `runs`, was trained on test images, whatever they are called here."""
    for run, head in zip(runs, heads, strict=True):
        seen = count_seen(head, collection, subsets.test.rows)
        if seen:
            raise RunError(f"--head {run}: expected test images that it was not trained on, found {seen} of "
                           f"{len(subsets.test.rows)} that it was: such a rho says nothing of new images")  # fmt: skip


def count_seen(head: Head, collection: Collection, rows: np.ndarray) -> int:
    """Count the images of `rows` (n,) whose files a head was trained on."""
    trained_on = from_text(head.provenance.trained_on if head.provenance else "")
    return int(np.isin(content_keys(collection, rows), trained_on).sum())


def _trained(heads: Sequence[Head]) -> list[TrainingConfig]:
    """How heads were trained, of those that tell a split of their own; imported ones tell nothing."""
    return [head.provenance.config.training for head in heads if head.provenance and head.provenance.split]


def heads_for(runs: Sequence[Path], split: int, device: str) -> list[Head]:
    """Load the heads of `runs` (run folders, or folders of split-1, split-2 ...) that may be tested on this split.

    Raises RunError for a head that was trained on another split, whose training images stand in this test list.
    """
    heads = []
    for run in runs:
        head = load_head(run / f"split-{split}" if (run / f"split-{split}" / BEST).exists() else run, device)
        trained = head.provenance.split if head.provenance else None
        if trained not in (None, split):
            raise RunError(f"--head {run}: expected a head of split {split}, found one of split {trained}, which may "
                           "have been trained on the images of this test list")  # fmt: skip
        heads.append(head)
    return heads


def by_table(scores: Mapping[str, float], path: Path, collection: Collection, subsets: Subsets) -> Evaluated:
    """Look up what another system's table says of the images. Where it has all test images, it may lack validation
    images, whose predictions are then NaN, all of them. Raises RunError if it misses others.
    """
    val, test = (
        np.array([scores.get(collection.ids[row], np.nan) for row in subset.rows])
        for subset in (subsets.val, subsets.test)
    )
    if np.isnan(test).any():
        for said, subset in ((val, subsets.val), (test, subsets.test)):
            missing = [collection.ids[row] for row in subset.rows[np.isnan(said)]]
            if missing:
                raise RunError(f"--scores {path}: expected all {len(said)} images of the list, found {len(missing)} "
                               f"missing, such as {missing[0]}")  # fmt: skip
    return Evaluated(np.full(len(val), np.nan) if np.isnan(val).any() else val, test)
