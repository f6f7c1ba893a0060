"""What stands in a page, as plain JSON values; `page.js` draws them."""

import contextlib
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

import amnet_common
from amnet_common.agreement import noise_ceiling, spearman_brown
from amnet_common.collection import Collection
from amnet_common.collection.joint_spec import specs_in
from amnet_common.errors import RunError
from amnet_common.files import finite
from headtrain.evaluation.bootstrap import Comparison, mean_interval, paired
from headtrain.evaluation.metrics import METRICS, flat_line
from headtrain.evaluation.published import FIGURES, HUMAN, data_of
from headtrain.evaluation.trainings import LEVEL, holm
from headtrain.figures.attention_maps import SCALE
from headtrain.heads.checkpoint import BEST, read_provenance
from headtrain.leaderboard.table import mean_line, name_of
from headtrain.report.gallery import cards
from headtrain.report.images import SMALL, Images
from headtrain.runs.documents import read_begun
from headtrain.runs.folder import LOG, RUN
from headtrain.runs.log import read_log
from headtrain.runs.results import RunResult
from headtrain.settings.configuration import option_of
from headtrain.settings.described import described_settings

MOST_POINTS = 1500  # of a scatter plot; a seeded choice of more test images
Advance = Callable[[int], object]
System = tuple[Path, Sequence[RunResult]]  # a run, or a folder of splits, with its results


def contents(
    systems: Sequence[System], collection: Collection, images: Images, count: int, advance: Advance = lambda _: None
) -> dict[str, Any]:
    """Return the contents of a page about finished runs (folders of one split, or of several) on one collection.

    `count`: images of each kind a run. `advance` is told of each run that is done. Raises RunError for a folder that is
    none, or of other images.
    """
    row_of = {id_: row for row, id_ in enumerate(collection.ids)}
    for run, results in systems:
        refuse_other_images(run, results, row_of, collection)
    parts = []
    for run, results in systems:  # large pictures first: an image stands in the page once
        of_split = -(-count // len(results))
        shown = [card for result in results for card in cards(result, collection, row_of, images, of_split)]
        parts.append({**described(run, results), "gallery": shown})
        advance(1)
    for part, (_, results) in zip(parts, systems, strict=True):
        part["points"] = list(points(results, row_of, images))
    return dict(finite({
        "made": time.strftime("%Y-%m-%d %H:%M"),
        "version": amnet_common.__version__,
        "data": data_of(collection) or "",
        "human": HUMAN.get(data_of(collection) or ""),
        "ceiling": ceiling_of(HUMAN.get(data_of(collection) or "")),
        "published": [asdict(figure) for figure in FIGURES if figure.data == data_of(collection)],
        "metrics": [{"name": one.name, "column": one.column, "digits": one.digits, "each": bool(one.board)}
                    for one in METRICS.values() if one.column],
        "runs": parts,
        "comparisons": list(comparisons(systems)),
        "scale": SCALE,
        "images": images.table,
        "missing": images.missing,
    }))  # fmt: skip


def ceiling_of(halves: float | None) -> str:
    """Describe what the agreement of two halves of the observers allows; empty where it is not known."""
    if halves is None:
        return ""
    reliable, most = f"{spearman_brown(halves):.2f}", f"{noise_ceiling(halves):.2f}"
    return (f"So all of them together are reliable to {reliable} (Spearman-Brown), and a perfect prediction of their "
            f"mean can be expected to reach {most} (noise ceiling).")  # fmt: skip


def refuse_other_images(
    run: Path, results: Sequence[RunResult], row_of: Mapping[str, int], collection: Collection
) -> None:
    """Raise RunError if the test images of a run are not in the collection."""
    for result in results:
        unknown = [id_ for id_ in result.predictions.ids if id_ not in row_of]
        if unknown:
            raise RunError(f"{run}: expected test images of {collection.path}, found {len(unknown)} that it has not, "
                           f"such as {unknown[0]}")  # fmt: skip


def described(run: Path, results: Sequence[RunResult]) -> dict[str, Any]:
    """Return all of a run but its images."""
    bounds = mean_interval([result.predictions for result in results])
    rho = np.array([result.metrics.rho for result in results])
    return {
        "name": name_of(run, results),
        "rho": float(rho.mean()),
        "flat": flat_line(name_of(run, results), [result.metrics for result in results]),
        "corrected": mean_line(results),
        "sd": float(rho.std(ddof=1)) if len(rho) > 1 else None,
        "low": bounds.low,
        "high": bounds.high,
        "splits": [figures_of(result) for result in results],
        "curves": [curve for result in results if (curve := curve_of(result))],
        "settings": settings_of(results[0].run),
        "provenance": dict(provenance_of(run, results[0])),
    }


def figures_of(result: RunResult) -> dict[str, Any]:
    """Return the figures of one test list."""
    said = result.result
    own = {
        "split": said.split, "low": said.interval.low, "high": said.interval.high,
        "epoch": said.best and said.best.epoch, "epochs": said.epochs or None, "seconds": said.seconds,
        "optimistic": said.optimistic,
    }  # fmt: skip
    return asdict(result.metrics) | own


def curve_of(result: RunResult) -> dict[str, Any] | None:
    """Return the log of one split's run; None of what was not trained."""
    if not (result.run / LOG).exists():
        return None
    return {"split": result.split, "epochs": [asdict(epoch) for epoch in read_log(result.run)]}


def settings_of(run: Path) -> list[dict[str, Any]]:
    """Return each setting with its source, and whether it departs from the paper (*) and from its preset (**)."""
    if not (run / RUN).exists():
        return []
    described = described_settings(read_begun(run).config)
    return [one._asdict() | {"name": option_of(one.name).removeprefix("--")} for one in described]


def provenance_of(run: Path, result: RunResult) -> Iterator[tuple[str, str]]:
    """Yield where a run comes from, as names and texts."""
    said = result.result
    yield "folder", str(run)
    yield "features", f"{' + '.join((said.features, *said.joined_with))}, spec {said.fingerprint[:16]}"
    yield "epochs chosen on", said.selected_on
    if (result.run / BEST).exists():
        for spec in specs_in(read_provenance(result.run / BEST).spec):
            yield "trunk", f"{spec.get('trunk')}, {spec.get('variant')}, weights {str(spec.get('weights_sha256'))[:16]}"
            plan = spec.get("view_plan", {})
            yield "views", f"plan {plan.get('name')}, {plan.get('augs')} augmented, stored as {spec.get('dtype')}"
    if (result.run / RUN).exists():
        begun = read_begun(result.run)
        yield "trained in", f"{begun.precision}, {'compiled' if begun.compiled else 'eager'}"


def points(results: Sequence[RunResult], row_of: Mapping[str, int], images: Images) -> Iterator[list[float]]:
    """Yield true and predicted score, split and image of each test image, or of MOST_POINTS of them."""
    pairs = [(result, position) for result in results for position in range(len(result.predictions))]
    order = np.random.default_rng(0).permutation(len(pairs))
    for number in islice(order, MOST_POINTS):
        result, position = pairs[number]
        predictions = result.predictions
        image = images.add(row_of[predictions.ids[position]], SMALL)
        yield [float(predictions.scores[position]), float(predictions.predicted[position]), result.split, image]


def comparisons(systems: Sequence[System]) -> Iterator[dict[str, Any]]:
    """Yield comparisons of the first run with each other one that was tested on the same lists.

    They are several, so p is corrected (Holm), and "real" is what is left of it.
    """
    first, *others = [(name_of(run, results), [result.predictions for result in results]) for run, results in systems]
    found: list[tuple[str, Comparison]] = []
    for name, predictions in others:
        with contextlib.suppress(RunError):
            found.append((name, paired(first[1], predictions)))
    known = [(name, one) for name, one in found if not math.isnan(one.p)]
    for (name, one), p in zip(known, holm([one.p for _, one in known]), strict=True):
        yield {"a": first[0], "b": name, **asdict(one), "p": p, "real": p < 1 - LEVEL}
