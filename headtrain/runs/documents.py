"""What a run says of itself: run.json, what it is; metrics.json, what came out; diverged.json, why nothing did.

All are read here alone, and written here but for run.json, which `training.planned` and `runs.importing` fill.

Files of older versions lack fields: these then have the defaults below.
"""

import contextlib
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from amnet_common.collection.folding import recorded_folding
from amnet_common.collection.spec import differences
from amnet_common.datasets.folds import Folding
from amnet_common.errors import DamagedRunError, RunError
from amnet_common.files import write_json
from amnet_common.small_texts import checked, json_object, shortened, small_text, typed
from headtrain.evaluation.bootstrap import Interval
from headtrain.evaluation.metrics import Metrics
from headtrain.runs.folder import DIVERGED, RESULT, RUN
from headtrain.runs.log import Epoch
from headtrain.settings.configuration import Config

DECISIVE = ("config", "split", "selected_on", "fingerprint", "images", "precision")  # what must be equal to resume
SAID_BY_WORD = "optimistic"  # in selected_on of versions that had no field for it


@dataclass(frozen=True)
class Begun:
    """Hold what run.json says: what a run is."""

    config: Config
    imported_from: str = ""  # of a head that was trained elsewhere: the rest is not known then
    split: int | None = None
    selected_on: str = ""  # the list that chooses the epoch
    optimistic: bool = False  # the test list chose the epoch
    features: str = ""  # the collection file
    joined_with: tuple[str, ...] = ()  # collections whose channels stand behind those of `features`
    fingerprint: str = ""  # of its spec
    weights: str = ""  # the name of its trunk's weights; empty: an older version
    images: str = ""  # hash of the three lists with their scores
    precision: str = "float32"
    compiled: bool = False
    made: Mapping[str, Any] = field(default_factory=dict)  # date, command and versions; empty: an older version
    no_test: bool = False  # the training left its test list closed
    keep_state: bool = False  # its state stays when it is finished, so that it can go on
    tested_elsewhere: int | None = (
        None  # validation images that another split tests; None: an older version did not say
    )
    folding: Folding | None = None  # how the lists were dealt, where amnet did that


@dataclass(frozen=True)
class Result:
    """Hold what metrics.json says: what came out of a run, a baseline or an evaluation on one split.

    `best`, `lowest_mse`, `epochs` are of trained heads; `system`, `chosen`, `val_rho`, `heads`, `views` and
    `other_features` of others.
    """

    run: Path
    split: int  # 0: the first version did not say
    test: Metrics = Metrics()  # noqa: RUF009 (frozen)
    interval: Interval = Interval(math.nan, math.nan)  # noqa: RUF009 (frozen) - of the test rho, 95 %
    best: Epoch | None = None  # of the highest validation rho
    lowest_mse: Epoch | None = None  # of the lowest validation MSE, which the paper gives beside it
    epochs: int = 0  # trained, the best one and those after it
    seconds: float = 0.0  # of all epochs
    preset: str = ""
    selected_on: str = ""
    optimistic: bool = False
    images: Mapping[str, int] = field(default_factory=dict)  # of each list, with features
    left_out: Mapping[str, int] = field(default_factory=dict)  # of each list, without
    features: str = ""
    joined_with: tuple[str, ...] = ()  # collections whose channels stand behind those of `features`
    fingerprint: str = ""
    system: str = ""  # in tables
    chosen: str = ""  # by validation
    val_rho: float = math.nan
    heads: tuple[str, ...] = ()
    views: tuple[int, ...] = ()
    other_features: tuple[str, ...] = ()  # collections that heads read beside `features`, whose lists these are
    tested: bool = True  # False: of --no-test; `test` and `interval` hold nothing yet
    folding: Folding | None = None  # how the lists were dealt, where amnet did that


def read_begun(run: Path) -> Begun:
    """Read what the run in a folder is. Raises RunError that names the file."""
    found = read_json(run / RUN)
    with damage_named(run / RUN):
        return Begun(
            config=Config.from_dict(found["config"]),
            split=_count(found, "split", None),
            optimistic=is_optimistic(found),
            compiled=typed(found, "compiled", bool, False),
            made=typed(found, "made", dict, {}),
            no_test=typed(found, "no_test", bool, False),
            keep_state=typed(found, "keep_state", bool, False),
            tested_elsewhere=_count(found, "tested_elsewhere", None),
            folding=recorded_folding(found),
            joined_with=_texts(found, "joined_with"),
            **{name: typed(found, name, str, getattr(Begun, name)) for name in
               ("imported_from", "precision", "selected_on", "features", "fingerprint", "weights", "images")},
        )  # fmt: skip


def write_result(result: Result) -> None:
    """Write metrics.json; fields that hold nothing are left out. Raises OutputError."""
    values = asdict(result) | {"interval": [result.interval.low, result.interval.high]}
    del values["run"]
    if result.tested:
        del values["tested"]
    always = ("split", "test", "interval", "optimistic", "selected_on")
    write_json(result.run / RESULT, {key: value for key, value in values.items() if key in always or _is_said(value)})


def read_result(run: Path) -> Result:
    """Read what came out of the run in a folder. Raises RunError that names the file."""
    found = read_json(run / RESULT)
    with damage_named(run / RESULT):
        low, high = typed(found, "interval", list, (None, None))
        return Result(
            run=run,
            split=_count(found, "split", 0),
            test=Metrics.from_dict(_figures("test", found["test"], Metrics)),
            interval=Interval(_number("interval", low), _number("interval", high)),
            best=_epoch("best", found.get("best")),
            lowest_mse=_epoch("lowest_mse", found.get("lowest_mse")),
            epochs=_count(found, "epochs", 0),
            seconds=typed(found, "seconds", float, 0.0),
            optimistic=is_optimistic(found),
            images=_counts(found, "images"),
            left_out=_counts(found, "left_out"),
            val_rho=_number("val_rho", found.get("val_rho")),
            heads=_texts(found, "heads"),
            views=tuple(checked("views", int, one) for one in typed(found, "views", list, ())),
            other_features=_texts(found, "other_features"),
            joined_with=_texts(found, "joined_with"),
            tested=typed(found, "tested", bool, True),
            folding=recorded_folding(found),
            **{name: typed(found, name, str, "") for name in
               ("preset", "selected_on", "features", "fingerprint", "system", "chosen")},
        )  # fmt: skip


@dataclass(frozen=True)
class Diverged:
    """Hold what diverged.json says: a training that could not go on. Such a run has no result."""

    epoch: int  # after which it ended
    why: str


def write_diverged(run: Path, found: Diverged) -> None:
    """Mark a run as diverged. Raises OutputError."""
    write_json(run / DIVERGED, asdict(found))


def read_diverged(run: Path) -> Diverged | None:
    """Read how the run in a folder diverged; None if it did not. Raises DamagedRunError that names the file."""
    if not (run / DIVERGED).exists():
        return None
    found = read_json(run / DIVERGED)
    with damage_named(run / DIVERGED):
        return Diverged(checked("epoch", int, found["epoch"]), checked("why", str, found["why"]))


def is_optimistic(found: Mapping[str, Any]) -> bool:
    """Tell whether the test list chose the epoch, by what run.json or metrics.json of any version says.

    Raises ValueError for what is neither true nor false.
    """
    return bool(typed(found, "optimistic", bool, SAID_BY_WORD in str(found.get("selected_on"))))


def refuse_other_run(run: Path, identity: Mapping[str, Any], apart: Sequence[str] = ()) -> None:
    """Raise RunError, with each difference, if the folder is of another run than `identity`.

    Where it ran may differ, and so may the settings `apart` of the training.
    """
    if lines := other_than(run, identity, apart):
        raise RunError(f"--resume: {run} is another run: {'; '.join(lines)}")


def other_than(run: Path, identity: Mapping[str, Any], apart: Sequence[str] = ()) -> list[str]:
    """List in what the run in a folder is not that of `identity`, but for settings `apart` of the training.

    Raises DamagedRunError.
    """
    begun = read_json(run / RUN)
    with damage_named(run / RUN):
        begun["config"] = Config.from_dict(begun["config"]).as_dict()  # with settings that its version did not know
        begun.setdefault("precision", Begun.precision)
    now = json.loads(json.dumps(identity))
    begun["config"]["training"] |= {name: now["config"]["training"][name] for name in apart}
    return differences({key: begun.get(key) for key in DECISIVE}, {key: now.get(key) for key in DECISIVE})


def begun_kernels(folder: Path) -> tuple[str, bool] | None:
    """Return in which precision the first run that is `folder`, or stands below it, was begun, and whether compiled.

    Damaged runs are passed over; None if there is no other.
    """
    for path in sorted(folder.glob(f"**/{RUN}")):
        with contextlib.suppress(DamagedRunError):
            begun = read_begun(path.parent)
            return begun.precision, begun.compiled
    return None


def begun_without_test(folder: Path) -> bool:
    """Tell whether a run that is `folder`, or stands below it, was begun with --no-test; damaged ones say nothing."""
    for path in folder.glob(f"**/{RUN}"):
        with contextlib.suppress(DamagedRunError):
            if read_begun(path.parent).no_test:
                return True
    return False


def folding_of(folder: Path) -> Folding | None:
    """Return how the lists of the first run that is `folder`, or stands below it, were dealt; None if none says so."""
    for path in sorted(folder.glob("**/*.json")):
        if path.name in (RUN, RESULT):
            with contextlib.suppress(DamagedRunError):
                if found := recorded_folding(read_json(path)):
                    return found
    return None


def read_json(path: Path, what: str = "a file of a run") -> dict[str, Any]:
    """Read a small JSON object. Raises DamagedRunError for what is none, too large, or no regular file."""
    try:
        return json_object(small_text(path))
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise DamagedRunError(f"{path}: expected {what}, found none that can be read ({reason})") from error


@contextmanager
def damage_named(path: Path) -> Iterator[None]:
    """Turn what a damaged file makes its reader raise into a DamagedRunError that names the file."""
    try:
        yield
    except (AttributeError, LookupError, OSError, OverflowError, TypeError, ValueError) as error:
        if isinstance(error, RunError):
            raise
        found = f"no {error}" if isinstance(error, KeyError) else error
        raise DamagedRunError(f"{path}: expected a file as amnet-head writes it, found {found}") from error


def _is_said(value: Any) -> bool:  # noqa: ANN401 - of any field
    return value not in (None, "", {}, ()) and not (isinstance(value, float) and math.isnan(value))


def _number(name: str, value: Any) -> float:  # noqa: ANN401 - whatever stands there
    """Read a figure, null where it is not defined. Raises ValueError for another value."""
    return math.nan if value is None else float(typed({name: value}, name, float, None))


def _count(found: Mapping[str, Any], name: str, default: int | None) -> Any:  # noqa: ANN401 - int, or what `default` is
    """Read a whole number from 0. Raises ValueError for another value."""
    value = default if found.get(name) is None else typed(found, name, int, default)
    if value is not None and value < 0:
        raise ValueError(f"{name} {value}")
    return value


def _texts(found: Mapping[str, Any], name: str) -> tuple[str, ...]:
    return tuple(checked(name, str, one) for one in typed(found, name, list, ()))


def _counts(found: Mapping[str, Any], name: str) -> dict[str, int]:
    values = typed(found, name, dict, {})
    return {key: _count(values, key, 0) for key in values}


def _figures(name: str, values: Any, kind: type) -> Mapping[str, Any]:  # noqa: ANN401 - whatever stands there
    """Return an object whose values for the fields of `kind` are numbers, true, false or null. Raises ValueError."""
    for key in {item.name for item in fields(kind)} & checked(name, dict, values).keys():
        if not isinstance(values[key], int | float | None):
            raise ValueError(f"{name}.{key} that is {shortened(values[key])}")
    return dict(values)


def _epoch(name: str, values: Any) -> Epoch | None:  # noqa: ANN401 - whatever stands there
    """Read an epoch of metrics.json, whose undefined figures are null."""
    return None if values is None else Epoch.from_dict(_figures(name, values, Epoch))
