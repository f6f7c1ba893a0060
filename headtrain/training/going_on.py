"""A run that goes on for more epochs, or fewer, than it was begun with: what may change, and how its folder says so.

The order of writing makes a kill harmless: the old result goes first, so that the run counts as unfinished, then
run.json says the new numbers, then config.toml, which every resume compares with it.
"""

from pathlib import Path

from amnet_common.errors import RunError
from amnet_common.files import write_json, write_text
from headtrain.runs.documents import read_begun, read_json
from headtrain.runs.folder import CONFIG, RESULT, RUN, STATE, TEST
from headtrain.settings.config_file import to_toml
from headtrain.settings.configuration import Config, option_of

LENGTHS = ("epochs", "patience")  # settings that no epoch depends on that is already trained
COSINE = "cosine"  # but for this schedule: each of its rates depends on the number of epochs


def changed_lengths(run: Path, config: Config) -> tuple[str, ...]:
    """Name those of LENGTHS in which `config` is not what a run was begun with. Raises DamagedRunError."""
    begun = read_begun(run).config.training
    return tuple(name for name in LENGTHS if getattr(begun, name) != getattr(config.training, name))


def refuse_going_on(run: Path, config: Config) -> None:
    """Raise RunError for a run that cannot go on with other lengths: its schedule depends on them, or it is finished
    and has kept no state.
    """
    changed, settings = changed_lengths(run, config), config.training
    if "epochs" in changed and settings.lr_schedule == COSINE:
        begun = read_begun(run).config.training.epochs
        raise RunError(f"--resume: {run} was begun with --epochs {begun}, found {settings.epochs}: the rates of "
                       "--lr-schedule cosine depend on that from the first epoch on, so that it cannot change; "
                       "constant and step can go on")  # fmt: skip
    if changed and (run / RESULT).exists() and not (run / STATE).exists():
        asked = " ".join(f"{option_of(name)} {getattr(settings, name)}" for name in changed)
        raise RunError(f"--resume: {run} is finished and has kept no state to go on from (train --keep-state keeps "
                       f"it); train anew with {asked} and another --out")  # fmt: skip


def refuse_ended(run: Path, config: Config, epochs: int, best: int) -> None:
    """Raise RunError if a run has more epochs than it is to have, or is finished and has no more to train."""
    settings = config.training
    if epochs > settings.epochs:
        raise RunError(f"--resume: expected --epochs of {epochs} or more, as {run} has trained so many, found "
                       f"{settings.epochs}")  # fmt: skip
    if (run / RESULT).exists() and epochs - best >= settings.patience:
        raise RunError(f"--resume: {run} ended by its patience: its best epoch is {best} of {epochs}; to go on give "
                       f"--patience of more than {epochs - best}, found {settings.patience}")  # fmt: skip


def note_lengths(run: Path, config: Config, keep_state: bool) -> None:
    """Say in the folder of a run with which lengths it goes on, and whether its state is to be kept; a result that it
    had is removed first. Raises OutputError.
    """
    begun = read_begun(run)
    keep = keep_state or begun.keep_state
    if changed_lengths(run, config):
        (run / RESULT).unlink(missing_ok=True)
        (run / TEST).unlink(missing_ok=True)
    if begun.config != config or keep != begun.keep_state:
        told = read_json(run / RUN) | {"config": config.as_dict()} | ({"keep_state": True} if keep else {})
        write_json(run / RUN, told)
    text = to_toml(config)
    if not (run / CONFIG).exists() or (run / CONFIG).read_text(encoding="utf-8") != text:  # a kill came between the two
        write_text(run / CONFIG, text)
