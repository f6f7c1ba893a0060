"""Several rows an image, one a rater: their mean, how many there are, and how far the raters agree (pure)."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from amnet_common.agreement import Consistency
from amnet_common.datasets.consistency import consistency

LEAST_IMAGES = 10  # from which on it is believed that repeated images are no slip,
MOST_REPEATED = 0.9  # if so many of them are


@dataclass(frozen=True)
class Ratings:
    """Hold what several rows an image say. N: images."""

    means: np.ndarray  # (N,) float64, NaN for none
    counts: np.ndarray  # (N,) int64, rows with a rating
    agreement: Consistency | None = None
    raters: int = 0  # 0: not known
    repeats: int = 0  # rows in which a rater rates an image once more

    def lines(self) -> Iterator[str]:
        """Yield what is said of the ratings."""
        rated = self.counts[self.counts > 0]
        if not len(rated):
            return
        by = f" by {self.raters} raters" if self.raters else ""
        each = f"{np.median(rated):g} an image ({rated.min()} to {rated.max()})"
        yield f"{rated.sum()} ratings of {len(rated)} images{by}, {each}: the mean of each is its score"
        if self.repeats:
            yield f"{self.repeats} of them rate an image once more that the same rater has rated"
        if self.agreement:
            found = self.agreement
            yield (f"split-half consistency rho {found.mean:.3f} ({len(found.rhos)} random halves of {self.raters} "
                   f"raters, {found.images} images or more rated by both), Spearman-Brown {found.reliability:.3f}: "
                   f"a perfect prediction can be expected to reach {found.ceiling:.3f}, the noise ceiling")  # fmt: skip
        elif self.raters:
            yield "too few raters, or images that several rate, for a split-half consistency"

    def as_dict(self) -> dict[str, object]:
        """Return the figures as plain JSON values."""
        rated = self.counts[self.counts > 0]
        figures: dict[str, object] = {"ratings": int(self.counts.sum()), "images": len(rated)}
        if len(rated):
            figures |= {"least": int(rated.min()), "most": int(rated.max())}
        if self.raters:
            figures["raters"] = self.raters
        if self.agreement:
            figures["split_half_rho"] = round(self.agreement.mean, 6)
            figures["spearman_brown"] = round(self.agreement.reliability, 6)
        return figures


def are_ratings(images: np.ndarray, count: int, has_raters: bool) -> bool:
    """Tell whether repeated images, numbers (n,) below `count`, are ratings of several people and no slip."""
    times = np.bincount(images, minlength=count)
    return has_raters or (count >= LEAST_IMAGES and bool((times > 1).sum() >= MOST_REPEATED * count))


def gathered(images: np.ndarray, scores: np.ndarray, count: int, raters: np.ndarray | None) -> Ratings:
    """Average each of `count` images over its rows. `images`, `raters` (n,) int64; `scores` (n,) float64."""
    known = ~np.isnan(scores)
    counts = np.bincount(images[known], minlength=count)
    total = np.bincount(images[known], scores[known], minlength=count)
    means = np.divide(total, counts, out=np.full(count, np.nan), where=counts > 0)
    if raters is None or not known.any():
        return Ratings(means, counts)
    pairs = np.stack([images[known], raters[known]], 1)
    repeats = len(pairs) - len(np.unique(pairs, axis=0))
    return Ratings(means, counts, consistency(images, raters, scores), len(np.unique(raters[known])), repeats)
