"""Which of how many processes this one is, by the variables of a batch system: pure, of a mapping."""

from collections.abc import Mapping
from dataclasses import dataclass

from amnet_common.errors import ConfigError

ARRAY, ARRAY_COUNT = "SLURM_ARRAY_TASK_ID", "SLURM_ARRAY_TASK_COUNT"
ARRAY_MIN, ARRAY_MAX, ARRAY_STEP = "SLURM_ARRAY_TASK_MIN", "SLURM_ARRAY_TASK_MAX", "SLURM_ARRAY_TASK_STEP"
PROCESSES = (("SLURM_PROCID", "SLURM_NTASKS"), ("RANK", "WORLD_SIZE"), ("JOB_COMPLETION_INDEX", "AMNET_COMPLETIONS"))
WHOLE_ARRAY = "submit the whole array again, where finished parts end at once, or give --shard I/N"


@dataclass(frozen=True)
class Place:
    """Hold the part of the work, `number` (from 1) of `count`, that falls to this process, and what says so."""

    number: int
    count: int
    taken: tuple[str, ...]  # names of variables

    def described(self, variables: Mapping[str, str]) -> str:
        """Return the shard, as --shard takes it, and the variables that it comes of."""
        return f"{self.number}/{self.count}, from {_values(variables, self.taken)}"


def place_among(variables: Mapping[str, str]) -> Place:
    """Return the place of this process among all that a batch system has begun for one job.

    A task of a Slurm array with several processes multiplies them. Of several other pairs, Slurm's processes within a
    job, RANK and WORLD_SIZE, Kubernetes' index, those of the most processes count: they name the same ones.

    Raises ConfigError where no variables say it, or they contradict each other.
    """
    given = {name: text for name, text in variables.items() if text}
    array = _in_array(given)
    pairs = [_of_pair(given, *pair) for pair in PROCESSES if all(name in given for name in pair)]
    process = max(pairs, key=lambda pair: pair.count, default=None)
    for other in pairs:
        if process and other.count == process.count and other.number != process.number:
            raise ConfigError(f"--shard auto: expected variables that agree, found {process.described(given)}, and "
                              f"{other.described(given)}; unset those of one, or give --shard I/N")  # fmt: skip
    if array and process:
        number = (array.number - 1) * process.count + process.number
        return Place(number, array.count * process.count, array.taken + process.taken)
    if found := array or process:
        return found
    raise ConfigError(f"--shard auto: expected {ARRAY} and {ARRAY_COUNT}, {', '.join(map(' and '.join, PROCESSES))}, "
                      f"found {_halves(given) or 'none of them'}; give --shard I/N")  # fmt: skip


def begun_without_srun(variables: Mapping[str, str]) -> str:
    """Return a note where Slurm has room for several processes and only this one seems to be begun; else nothing."""
    alone = "SLURM_JOB_ID" in variables and "SLURM_STEP_ID" not in variables
    count = variables.get("SLURM_NTASKS", "1")
    if not alone or count in {"", "1"}:
        return ""
    return f"SLURM_NTASKS is {count}, and no step of srun has begun this process: begin it by srun, so that all run"


def _in_array(given: Mapping[str, str]) -> Place | None:
    if ARRAY not in given:
        return None
    if ARRAY_COUNT not in given:
        raise ConfigError(f"--shard auto: expected {ARRAY_COUNT} beside {ARRAY}, found none; give --shard I/N")
    first, count, step = _number(given, ARRAY_MIN, 0), _number(given, ARRAY_COUNT), _number(given, ARRAY_STEP, 1)
    last = _number(given, ARRAY_MAX, first + count - 1)
    if count > 1 and (step != 1 or last - first + 1 != count):
        raise ConfigError(f"--shard auto: expected an array of neighbouring numbers, such as 0-7, found {count} tasks "
                          f"from {first} to {last} in steps of {step}; {WHOLE_ARRAY}")  # fmt: skip
    if first > 1:
        raise ConfigError(f"--shard auto: expected an array that begins at 0 or 1, found one that begins at {first}, "
                          f"as a part of another; {WHOLE_ARRAY}")  # fmt: skip
    taken = tuple(name for name in (ARRAY, ARRAY_MIN, ARRAY_COUNT) if name in given)
    return _placed(given, _number(given, ARRAY) - first, count, taken)


def _of_pair(given: Mapping[str, str], index: str, count: str) -> Place:
    return _placed(given, _number(given, index), _number(given, count), (index, count))


def _placed(given: Mapping[str, str], index: int, count: int, taken: tuple[str, ...]) -> Place:
    if not 0 <= index < count:
        raise ConfigError(f"--shard auto: expected a number within the count beside it, found {_values(given, taken)}; "
                          "give --shard I/N")  # fmt: skip
    return Place(index + 1, count, taken)


def _number(given: Mapping[str, str], name: str, usual: int | None = None) -> int:
    text = given.get(name)
    if text is None and usual is not None:
        return usual
    if text is None or not (text.isascii() and text.isdigit()) or len(text) > 9:
        raise ConfigError(f"--shard auto: {name}: expected a whole number, found {text!r}; give --shard I/N")
    return int(text)


def _values(given: Mapping[str, str], names: tuple[str, ...]) -> str:
    return ", ".join(f"{name}={given[name]}" for name in names)


def _halves(given: Mapping[str, str]) -> str:
    """Name the variables that lack the other of their pair."""
    return ", ".join(f"{name} alone" for pair in PROCESSES for name in pair if name in given)
