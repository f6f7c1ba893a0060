"""The study of a search, in OUT/study.db as Optuna and optuna-dashboard read it. All that knows Optuna is here."""

import contextlib
import errno
import json
import os
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from amnet_common.collection.spec import differences
from amnet_common.errors import AmnetError, BusyError, ExtraError, OutputError, RunError
from amnet_common.seeds import derived_seed
from headtrain.sweep.grid import Axis
from headtrain.sweep.space import Range, described

if TYPE_CHECKING:
    from optuna import Study
    from optuna.distributions import BaseDistribution
    from optuna.trial import FrozenTrial

PATIENCE = 60  # seconds that the database may be held by others
OF_ODD_VALUES = (ValueError, LookupError, TypeError, AttributeError, AssertionError)  # which Optuna takes as they are
STUDY, SPACE, FACTS = "study.db", "space", "facts"  # the file; the study's attributes


@dataclass(frozen=True)
class Trial:
    """Hold one point of the search space."""

    number: int
    values: Mapping[str, Any] = field(hash=False)  # settings by their fields' names

    @property
    def name(self) -> str:
        """Return the name of its folders, before the seed."""
        return f"trial-{self.number:04}"


class Search:
    """Hold the study in the folder `out`: a new one, or that of before."""

    def __init__(
        self, out: Path, axes: Sequence[Axis], ranges: Sequence[Range], seed: int, facts: Mapping[str, Any]
    ) -> None:
        """Make the study, or open that of before. `facts`: what else makes trials comparable.

        Raises ExtraError without Optuna, OSError, and RunError if the file is damaged, or if its space or its facts
        are others.
        """
        keys: list[Axis | Range] = [*axes, *ranges]
        self._settings = {one.key: one.settings for one in keys}
        self._seed, self._out = seed, out
        self._study = open_study(out)
        self._distributions = distributions(axes, ranges)
        with database_errors(out):
            refuse_other_study(out, self._study, {SPACE: described(axes, ranges), FACTS: dict(facts)})
            for trial in self._running():
                if trial.params.keys() != self._distributions.keys():  # killed while its values were drawn
                    self._study.tell(trial.number, state=state("FAIL"))

    def ask(self, count: int) -> list[Trial]:
        """Return that many trials: those that were asked before and never told, then new ones."""
        with database_errors(self._out):
            return [*self.unfinished(), *self._new(count - len(self._running()))][:count]

    def tell(self, trial: Trial, value: float) -> None:
        """Say how good a trial was: the more the better."""
        with database_errors(self._out):
            self._study.tell(trial.number, value)

    @property
    def finished(self) -> int:
        """Count the trials that were told."""
        with database_errors(self._out):
            return len(self._study.get_trials(deepcopy=False, states=[state("COMPLETE")]))

    def unfinished(self) -> list[Trial]:
        """Return the trials that were asked, before a kill say, and never told."""
        with database_errors(self._out):
            return [self._trial(trial.number, trial.params) for trial in self._running()]

    def _running(self) -> "list[FrozenTrial]":
        return self._study.get_trials(deepcopy=False, states=[state("RUNNING")])

    def _new(self, count: int) -> Iterator[Trial]:
        """Each with random numbers of its own, so that a search that was stopped does not draw the same again."""
        from optuna.samplers import TPESampler

        for _ in range(count):
            number = len(self._study.get_trials(deepcopy=False))
            seed = derived_seed("sweep", self._seed, number) % 2**32  # NumPy's RandomState takes no more
            self._study.sampler = TPESampler(seed=seed, multivariate=False)
            trial = self._study.ask(self._distributions)
            yield self._trial(trial.number, trial.params)

    def _trial(self, number: int, params: Mapping[str, Any]) -> Trial:
        return Trial(number, {name: params[key] for key, names in self._settings.items() for name in names})


def open_study(out: Path) -> "Study":
    """Make the study in the folder `out`, or open that of before. Raises ExtraError, OSError and RunError."""
    try:
        import optuna
    except ImportError as error:
        raise ExtraError("expected optuna, found none; pip install 'amnet[sweep]'") from error
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    out.mkdir(parents=True, exist_ok=True)
    with database_errors(out):
        refuse_damaged(out)
        storage = optuna.storages.RDBStorage(f"sqlite:///{STUDY}", engine_kwargs={"creator": partial(connect, out)})
        return optuna.create_study(study_name="sweep", storage=storage, direction="maximize", load_if_exists=True)


@contextmanager
def database_errors(out: Path) -> Iterator[None]:
    """Turn what the study's database raises into one line that says what to do.

    Raises BusyError while another program holds it, OutputError where the disk is full, RunError for another file.
    """
    import optuna
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except AmnetError:
        raise
    except (SQLAlchemyError, sqlite3.Error, optuna.exceptions.OptunaError, RuntimeError, *OF_ODD_VALUES) as error:
        line, study = str(error).partition("\n")[0], out / STUDY
        if "database is locked" in str(error):
            raise BusyError(f"{study}: expected it free, found it held by another program for {PATIENCE} s (an "
                            "optuna-dashboard, say); close that, then --resume") from error  # fmt: skip
        if "disk is full" in str(error):
            full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            raise OutputError(f"{study}: cannot be written: {full.strerror}") from full
        raise RunError(f"{study}: expected a study of this version of Optuna, found another file ({line})") from error


def refuse_damaged(out: Path) -> None:
    """Raise RunError for what is no regular file, sqlite3.Error for a database whose pages are damaged."""
    study = out / STUDY
    if os.path.lexists(study) and not study.is_file():
        raise RunError(f"{study}: expected a study of Optuna, found what is no regular file")
    with contextlib.closing(connect(out)) as database:
        ((verdict,), *_) = database.execute("PRAGMA quick_check")
    if verdict != "ok":
        raise sqlite3.DatabaseError(str(verdict).removeprefix("*** in database main ***\n"))


def connect(out: Path) -> sqlite3.Connection:
    """Connect by the path itself: in a URL a % or ? means something else.

    Waits a minute for a dashboard that writes notes.
    """
    return sqlite3.connect(out / STUDY, timeout=PATIENCE, check_same_thread=False)


def refuse_other_study(out: Path, study: "Study", now: Mapping[str, Any]) -> None:
    """Raise RunError, with each difference, if a study is about another space or other facts; a new one keeps `now`."""
    now = json.loads(json.dumps(now))
    lines = differences({key: study.user_attrs.get(key, value) for key, value in now.items()}, now)
    if lines:
        raise RunError(f"--resume: {out} is another search: {'; '.join(lines)}")
    for key, value in now.items():
        study.set_user_attr(key, value)


def distributions(axes: Sequence[Axis], ranges: Sequence[Range]) -> "dict[str, BaseDistribution]":
    """Return the space as Optuna has it, by its keys."""
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    found: dict[str, BaseDistribution] = {axis.key: CategoricalDistribution(axis.values) for axis in axes}  # type: ignore[arg-type]
    for key, _, low, high, log in ranges:
        if isinstance(low, int) and isinstance(high, int):
            found[key] = IntDistribution(low, high, log=log)
        else:
            found[key] = FloatDistribution(low, high, log=log)
    return found


def state(name: str) -> Any:  # noqa: ANN401 - optuna.trial.TrialState
    """Return the state of a trial that has this name, such as RUNNING."""
    from optuna.trial import TrialState

    return TrialState[name]
