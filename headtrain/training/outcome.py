"""The end of a run: its best checkpoint is tested, once, and what came out is written."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from amnet_common.collection import Collection
from amnet_common.errors import RunError
from headtrain.evaluation.bootstrap import Interval, interval
from headtrain.evaluation.metrics import Metrics, evaluate, finite
from headtrain.evaluation.predictions import Predictions, write_predictions
from headtrain.features.splits import Subsets
from headtrain.heads.checkpoint import load_head
from headtrain.runs.folder import METRICS, STATE, TEST, read_json, write_json
from headtrain.runs.log import Epoch
from headtrain.settings.configuration import Config
from headtrain.training.epoch import predict_subset
from headtrain.training.member import Member


@dataclass(frozen=True)
class Result:
    """What is known at the end of a run."""

    run: Path
    best: Epoch  # of the highest validation rho
    lowest_mse: Epoch  # of the lowest validation MSE, which the paper gives beside it
    epochs: int  # trained, the best one and those after it
    test: Metrics  # of the best checkpoint
    interval: Interval  # of the test rho, 95 %
    seconds: float  # of all epochs


def finish(member: Member, collection: Collection, subsets: Subsets, device: str) -> Result:
    """Test the best checkpoint of a member that is finished."""
    run, config = member.job.run, member.config
    (predicted,) = predict_subset([load_head(run, device)], collection, subsets.test, config.training.eval_view)
    predictions = Predictions(tuple(collection.ids[row] for row in subsets.test.rows), predicted, subsets.test.scores)
    result = result_of(run, member.epochs, evaluate(predicted, subsets.test.scores), interval(predictions))
    write_predictions(run / TEST, predictions)
    write_json(run / METRICS, metrics_json(result, subsets, collection, config, member.provenance.split))
    (run / STATE).unlink(missing_ok=True)
    return result


def result_of(run: Path, epochs: Sequence[Epoch], test: Metrics, found: Interval) -> Result:
    """The result of a run with these epochs."""
    best = [epoch for epoch in epochs if epoch.best][-1]
    lowest = [epoch for epoch in epochs if epoch.lowest_mse][-1] if any(e.lowest_mse for e in epochs) else best
    return Result(run, best, lowest, len(epochs), test, found, sum(epoch.seconds for epoch in epochs))


def metrics_json(
    result: Result, subsets: Subsets, collection: Collection, config: Config, split: int | None
) -> dict[str, object]:
    """The content of metrics.json."""
    named = (("train", subsets.train), ("val", subsets.val), ("test", subsets.test))
    return {
        "preset": config.preset,
        "split": split,
        "test": result.test.as_dict(),
        "interval": [finite(result.interval.low), finite(result.interval.high)],
        "best": epoch_json(result.best),
        "lowest_mse": epoch_json(result.lowest_mse),
        "epochs": result.epochs,
        "seconds": round(result.seconds, 1),
        "selected_on": subsets.selection,
        "images": {name: len(subset.rows) for name, subset in named},
        "left_out": {name: subset.left_out for name, subset in named},
        "features": str(collection.path),
        "fingerprint": collection.spec.fingerprint,
    }


def read_result(run: Path) -> Result:
    """The result of a run that is finished. Raises RunError."""
    facts = read_json(run / METRICS)
    try:
        best, lowest = (Epoch(**_numbers(facts[name])) for name in ("best", "lowest_mse"))
        bounds = Interval(*_numbers(dict(zip(("low", "high"), facts["interval"], strict=True))).values())
        test = Metrics(**_numbers(facts["test"]))
        return Result(run, best, lowest, int(facts["epochs"]), test, bounds, float(facts["seconds"]))
    except (KeyError, TypeError, ValueError) as error:
        raise RunError(f"{run / METRICS}: expected the result of a run, found another file ({error})") from error


def epoch_json(epoch: Epoch) -> dict[str, object]:
    """An epoch as JSON values."""
    return {key: finite(value) for key, value in asdict(epoch).items()}


def _numbers(values: Mapping[str, Any]) -> dict[str, Any]:
    """What JSON has as null is NaN."""
    return {name: math.nan if value is None else value for name, value in values.items()}
