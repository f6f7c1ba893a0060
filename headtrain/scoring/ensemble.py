"""Several heads as one: what they say together of an image, over one of its views or all of them.

Letters: n images, V views of each, K heads, T steps, L locations.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from amnet_common.collection import Collection
from amnet_common.errors import RunError
from headtrain.compute.kernels import EAGER, Kernels, predictor_of
from headtrain.features.batches import scales_on, to_floats, view_picks
from headtrain.heads.checkpoint import BEST, load_head
from headtrain.heads.head import Head
from headtrain.runs.documents import read_begun, read_diverged
from headtrain.runs.folder import RESULT, RUN, split_folders

BATCH = 64  # views at a time


class Said(NamedTuple):
    """Hold what heads say of n images, each figure but the spread the mean over heads and views."""

    score: np.ndarray  # (n,) float64
    steps: np.ndarray  # (n, T) float64; they add up to the score
    spread: np.ndarray  # (n,) float64, standard deviation of the score over heads and views; NaN where there is one
    entropy: np.ndarray  # (n,) float64, of the attention, mean over the steps: 1 looks everywhere alike, 0 at one point


def load_ensemble(runs: Sequence[Path], device: str = "cpu") -> dict[str, Head]:
    """Load the heads of `runs` by their paths: of a run, a checkpoint, or each head of a folder of split-1, split-2 ...

    Raises RunError if there is none, if the numbers of steps differ of those that have steps (a kernel has none, and
    stands beside any), or if a split of such a folder is not finished.
    """
    paths = [path for run in runs for path in (_splits_of(run) or [run])]
    heads = {str(path): load_head(path, device) for path in paths}
    steps = {path: head.outputs for path, head in heads.items() if not head.pools_views}
    if len(set(steps.values())) > 1:
        found = ", ".join(f"{count} of {path}" for path, count in steps.items())
        raise RunError(f"--head: expected heads of equally many steps, found {found}")
    return heads


def steps_of(heads: Sequence[Head]) -> int:
    """Count the steps that the heads give together: those of heads with steps, or one."""
    return max(head.outputs for head in heads)


def _splits_of(run: Path) -> list[Path]:
    """The splits of a folder of them. RunError if one is not finished: its best epoch may be to come."""
    splits = split_folders(run)
    if (run / BEST).exists() or not any((path / BEST).exists() for path in splits):
        return []
    for split in splits:
        if read_diverged(split):
            raise RunError(f"--head {run}: expected finished heads, found that {split.name} diverged; name the others")
        if not _is_finished(split):
            raise RunError(f"--head {run}: expected finished heads, found that {split.name} is not; --resume finishes "
                           "it, or name the finished ones")  # fmt: skip
    return splits


def _is_finished(run: Path) -> bool:
    """Whether a run, or one of whose folder a checkpoint alone was kept, has its last head."""
    if not (run / BEST).exists():
        return False
    return not (run / RUN).exists() or (run / RESULT).exists() or bool(read_begun(run).imported_from)


def predict_together(
    heads: Sequence[Head], collection: Collection, rows: np.ndarray, views: Sequence[int], kernels: Kernels = EAGER
) -> Said:
    """Compute what the heads, all on one device, say of `rows` (n,), which have features, over `views`.

    Every view is read once and compared with its checksum. Raises CollectionError for damaged features.
    """
    K, V, T = len(heads), len(views), steps_of(heads)
    steps, entropy = np.empty((len(rows) * V, K, T)), np.empty((len(rows) * V, K))
    device = heads[0].target_mean.device
    scales, predict = scales_on(device, collection), predictor_of(kernels, BATCH)
    pooling = {k: PooledViews(head, len(rows)) for k, head in enumerate(heads) if head.pools_views}
    for picks, features in collection.batches(view_picks(rows, views, BATCH), check=True):
        stored = torch.as_tensor(features).to(device)
        for k, head in enumerate(heads):
            if k in pooling:
                pooling[k].add(picks.positions // V, to_floats(stored, scales))
                continue
            output = predict(head, stored, scales)
            steps[picks.positions, k] = output.steps.cpu().numpy()
            entropy[picks.positions, k] = mean_entropy(output.attention).cpu().numpy()
    for k, pooled in pooling.items():
        steps[:, k] = np.repeat(pooled.scores(V)[:, None] / T, V, axis=0)  # every view and step says the same
        entropy[:, k] = 1
    steps = steps.reshape(len(rows), V * K, T)
    scores = steps.sum(-1)  # (n, V * K)
    told = scores[:, :K] if len(pooling) == K else scores  # such heads say one thing of all views
    spread = told.std(1, ddof=1) if told.shape[1] > 1 else np.full(len(rows), np.nan)
    return Said(scores.mean(1), steps.mean(1), spread, entropy.reshape(len(rows), V * K).mean(1))


class PooledViews:
    """Hold what a head pools of n images while their views come in."""

    def __init__(self, head: Head, count: int) -> None:
        self.head, self.count = head, count
        self._total: Tensor | None = None

    @torch.inference_mode()
    def add(self, images: np.ndarray, x: Tensor) -> None:
        """Add views x (B, L, D) of `images` (B,)."""
        pooled = self.head.pool(x)  # (B, F)
        if self._total is None:
            self._total = pooled.new_zeros(self.count, pooled.shape[1])
        self._total.index_add_(0, torch.as_tensor(images, device=pooled.device), pooled)

    @torch.inference_mode()
    def scores(self, views: int) -> np.ndarray:
        """Return the scores (n,) on the data's scale, after so many views of each image."""
        assert self._total is not None
        output = self.head.on_data_scale(self.head.of_pooled(self._total / views))
        return output.score.cpu().double().numpy()  # MPS has no float64


def mean_entropy(attention: Tensor) -> Tensor:
    """Compute the entropy (n,) of attention (n, T, L): -sum_L a ln a / ln L, mean over the steps."""
    entropy = torch.special.entr(attention.float()).sum(-1) / np.log(attention.shape[-1])  # (n, T)
    return entropy.mean(-1)
