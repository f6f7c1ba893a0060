"""RUN/events: the log as TensorBoard shows it. The log is the truth; of a resumed run all events are written anew."""

import os
from collections.abc import Sequence
from pathlib import Path

from amnet_common.errors import ExtraError
from headtrain.runs.log import Epoch, read_log

EVENTS = "events"
TAGS = {
    "loss/train_squared_error": "squared_error",
    "loss/penalty": "penalty",
    "val/rho": "val_rho",
    "val/mse": "val_mse",
    "time/epoch_seconds": "seconds",
}  # and the field of Epoch that each shows


def require_tensorboard() -> None:
    """Raise ExtraError, which says what to install, if events cannot be written."""
    try:
        import torch.utils.tensorboard  # noqa: F401
    except ImportError as error:
        raise ExtraError("expected tensorboard, found none; pip install 'amnet[tensorboard]'") from error


class EventLog:
    """Write the event file of one run folder, which must exist. Replaces what was written before.

    Each epoch stands in it once, however often the run was stopped: older events may lack epochs, or have some that
    were trained again. Older files are emptied, not removed, and the new one begins with a purge: a TensorBoard that
    shows the old epochs goes on to it and drops them. Raises ExtraError, OSError.
    """

    def __init__(self, run: Path) -> None:
        require_tensorboard()
        from torch.utils.tensorboard import SummaryWriter

        folder = run / EVENTS
        folder.mkdir(exist_ok=True)
        for old in folder.glob("events.out.tfevents.*"):
            os.truncate(old, 0)
        self._writer = SummaryWriter(str(folder), purge_step=1)
        self._written = 0

    def write(self, epochs: Sequence[Epoch]) -> None:
        """Bring the events up to `epochs`, all of the run so far; they are in the file when it returns."""
        for epoch in epochs[self._written :]:
            for tag, field in TAGS.items():
                self._writer.add_scalar(tag, getattr(epoch, field), epoch.epoch)
        self._written = len(epochs)
        self._writer.flush()

    def close(self) -> None:
        """Close the file; it is not written to afterwards."""
        self._writer.close()


class EventLogs:
    """Write the event files of several runs in training. Raises ExtraError."""

    def __init__(self) -> None:
        require_tensorboard()
        self._logs: dict[Path, EventLog] = {}

    def follow(self, run: Path) -> None:
        """Bring a run's events up to its log. Raises RunError if the log cannot be read."""
        if run not in self._logs:
            self._logs[run] = EventLog(run)
        self._logs[run].write(read_log(run))

    def end(self, run: Path) -> None:
        """Bring a run's events up to its log, as a kill may have come between the two, and close the file."""
        self.follow(run)
        self._logs.pop(run).close()
