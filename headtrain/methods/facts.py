"""What a methods paragraph says of finished runs, read from their folders alone."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from headtrain.evaluation.bootstrap import Interval, mean_interval
from headtrain.evaluation.metrics import mean_of
from headtrain.evaluation.resampled import Corrected, corrected
from headtrain.heads.checkpoint import BEST, read_provenance
from headtrain.leaderboard.table import name_of
from headtrain.runs.documents import Begun, read_begun
from headtrain.runs.folder import RUN
from headtrain.runs.results import RunResult, mean_lengths
from headtrain.settings.configuration import Config


@dataclass(frozen=True)
class Training:
    """Hold how the heads of a system were trained."""

    config: Config
    precision: str
    seeds: tuple[int, ...]
    versions: Mapping[str, Any]  # empty: an older version of amnet did not say


@dataclass(frozen=True)
class Facts:
    """Hold what is to be said of one system: a run, or a folder of one run for each split."""

    name: str
    splits: int
    images: Mapping[str, tuple[int, int]]  # of train, val and test: fewest and most over the splits
    left_out: int  # images of the lists without features
    selected_on: str
    optimistic: bool
    rho: float  # mean over the splits, as all that follow
    spread: float  # standard deviation over the splits; NaN for one
    interval: Interval  # of these trained heads on other images
    corrected: Corrected | None  # of the method, trained anew on other images; None for one split
    mse: float
    pearson: float
    spec: Mapping[str, Any] = field(default_factory=dict)  # of the features
    weights: str = ""
    training: Training | None = None  # None: not trained here
    system: str = ""  # what it is, if not a trained head
    chosen: str = ""  # by validation or leave-one-out, of such a system
    heads: tuple[str, ...] = ()  # of an ensemble


def facts_of(run: Path, results: Sequence[RunResult]) -> Facts:
    """Collect what is to be said of a system. Raises RunError for a damaged file."""
    said = [one.result for one in results]
    metrics = [one.metrics for one in results]
    rhos = [one.rho for one in metrics]
    begun = [read_begun(one.run) for one in results if (one.run / RUN).exists()]
    made = [read_provenance(one.run / BEST) for one in results if (one.run / BEST).exists()]
    mean = mean_of(metrics, "rho")
    spread = (sum((rho - mean) ** 2 for rho in rhos) / (len(rhos) - 1)) ** 0.5 if len(rhos) > 1 else float("nan")
    lists = [name for name in ("train", "val", "test") if all(name in one.images for one in said)]
    return Facts(
        name=name_of(run, results),
        splits=len(results),
        images={name: (min(found), max(found)) for name in lists if (found := [one.images[name] for one in said])},
        left_out=sum(sum(one.left_out.values()) for one in said),
        selected_on=said[0].selected_on,
        optimistic=any(one.optimistic for one in said),
        rho=mean,
        spread=spread,
        interval=mean_interval([one.predictions for one in results]),
        corrected=corrected(rhos, *mean_lengths(results)),
        mse=mean_of(metrics, "mse"),
        pearson=mean_of(metrics, "pearson"),
        spec=made[0].spec if made else {},
        training=trained(begun) if len(begun) == len(results) and not begun[0].imported_from else None,
        system=said[0].system,
        chosen=said[0].chosen + (" (the first split)" if len({one.chosen for one in said}) > 1 else ""),
        heads=said[0].heads,
    )


def trained(begun: Sequence[Begun]) -> Training:
    """Collect how the runs of a system were trained: the settings are those of the first."""
    seeds = sorted({one.config.training.seed for one in begun})
    versions = begun[0].made.get("versions")
    return Training(begun[0].config, begun[0].precision, tuple(seeds), versions if isinstance(versions, dict) else {})
