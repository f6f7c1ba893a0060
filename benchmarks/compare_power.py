"""How often `amnet-head compare` errs, and how often it finds a difference: simulated test lists and trainings.

    python benchmarks/compare_power.py [--worlds 400]

In each world the scores of 340 images are drawn, and what each configuration gets wrong about them; each training is a
little better or worse than its configuration, and adds noise of its own. Printed: the share of worlds in which a
difference is called real, for one training a side and for several, and how often the interval of one rho covers the
true one. Sampling error of a share p: sqrt(p (1 - p) / worlds).
"""

import math

import click
import numpy as np

from headtrain.evaluation import bootstrap
from headtrain.evaluation.bootstrap import interval
from headtrain.evaluation.predictions import Predictions
from headtrain.evaluation.trainings import Training, compared

IMAGES = 340  # of a test list of LNSIM
RESAMPLES = 500
IDS = tuple(str(k) for k in range(IMAGES))
RHO = 0.5
OWN, SEED = 0.8, 0.6  # shares of the error that a configuration's trainings have in common, and that each has alone
LUCK = 0.02  # standard deviation of the expected correlations of one configuration's trainings
TRAININGS = (1, 3, 5)


def strength(rho: float) -> float:
    """Return a, with which a * score + error, of variance 1, has a Spearman correlation of `rho` with the score."""
    pearson = 2 * math.sin(math.pi * rho / 6)  # of normal variables
    return pearson / math.sqrt(1 - pearson**2)


def trained(count: int, rho: float, scores: np.ndarray, own: np.ndarray, draw: np.random.Generator) -> list[Training]:
    """Return the test of so many trainings of a configuration whose expected correlation is `rho`."""

    def one() -> Training:
        a = strength(rho + LUCK * draw.normal())
        return [Predictions(IDS, a * scores + OWN * own + SEED * draw.normal(size=IMAGES), scores)]

    return [one() for _ in range(count)]


def called_real(count: int, difference: float, alike: bool, worlds: int) -> float:
    """Return the share of worlds with a real difference. `alike`: both sides are trainings of one configuration."""
    found = 0
    for world in range(worlds):
        draw = np.random.default_rng([world, count, alike, round(1000 * difference)])
        scores, own, other = draw.normal(size=(3, IMAGES))
        a = trained(count, RHO + difference, scores, own, draw)
        b = trained(count, RHO, scores, own if alike else other, draw)
        found += compared(a, b).real
    return found / worlds


def covered(worlds: int) -> float:
    """Return the share of worlds in which the interval of one rho holds the true one."""
    found = 0
    for world in range(worlds):
        draw = np.random.default_rng([world, 99])
        scores, own = draw.normal(size=(2, IMAGES))
        error = OWN * own + SEED * draw.normal(size=IMAGES)
        bounds = interval(Predictions(IDS, strength(RHO) * scores + error, scores))
        found += bounds.low <= RHO <= bounds.high
    return found / worlds


@click.command()
@click.option("--worlds", default=400, show_default=True)
def main(worlds: int) -> None:
    """Print the table of docs/results.md."""
    bootstrap.RESAMPLES = RESAMPLES
    holds = covered(worlds)
    print(f"{worlds} worlds of {IMAGES} images, rho {RHO}; the 95 % interval of one rho covers it in {holds:.3f}\n")
    print("| trainings a side | one configuration twice | two, equally good | 0.03 apart | 0.06 | 0.10 |")
    print("|---|---|---|---|---|---|")
    for count in TRAININGS:
        shares = [called_real(count, 0, True, worlds)]
        shares += [called_real(count, difference, False, worlds) for difference in (0, 0.03, 0.06, 0.10)]
        print(f"| {count} | {' | '.join(f'{share:.3f}' for share in shares)} |", flush=True)


if __name__ == "__main__":
    main()
