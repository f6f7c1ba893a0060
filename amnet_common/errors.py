"""The errors a user can meet. Each text says what was expected, what was found, where, and what to do next.

Every class is also a builtin, so that callers who know nothing of amnet can catch what they expect.
`assert` is kept for our own mistakes; these are for input.
"""


class AmnetError(Exception):
    """Provide the base of all errors that the commands turn into one line and exit status 2, some 75."""


class DatasetError(AmnetError, ValueError):
    """Report that a split list, label table or image root cannot be used as it is."""


class CollectionError(AmnetError, ValueError):
    """Report that a file is not a collection of this format, or is not whole."""


class SpecError(AmnetError, ValueError):
    """Report that two things that must come from the same extraction settings do not."""


class ShapeError(AmnetError, ValueError):
    """Report that features are of another shape or type than the head was made for."""


class MissingRowsError(AmnetError, LookupError):
    """Report that rows were asked for that have no features (pending or failed)."""


class ImageError(AmnetError, ValueError):
    """Report that one image cannot be turned into pixels; its row is marked failed."""


class WeightsError(AmnetError, ValueError):
    """Report that weights cannot be found, read or fitted to the network."""


class ConfigError(AmnetError, ValueError):
    """Report that a setting or an option has a value that it cannot have, or cannot have here."""


class RunError(AmnetError, ValueError):
    """Report that a run, or a file of one, is missing, damaged or not the one that is needed."""


class DamagedRunError(RunError):
    """Report that a file of a run is not what amnet-head writes: empty, cut, or of something else."""


class OutputError(AmnetError, OSError):
    """Report that a file cannot be written where it was asked for."""


class ExistsError(OutputError, FileExistsError):
    """Report that a file was to be made under a name that is taken."""


class TryLaterError(AmnetError):
    """Provide the base of errors that the same command may not meet later: the commands end with exit status 75."""


class BusyError(TryLaterError, BlockingIOError):
    """Report that another process is writing the same rows."""


class BegunAnewError(TryLaterError, CollectionError):
    """Report that another process has put another collection where this one was at work."""


class LostStoreError(TryLaterError, DatasetError):
    """Report that the disk or the server of the images has gone in the middle."""


class WorkerError(AmnetError, RuntimeError):
    """Report that a worker of a cluster was lost, or could not do its work."""


class LostWorkError(WorkerError, TryLaterError):
    """Report that a worker of a cluster could not do its work now, and may later."""


class ExtraError(AmnetError, ImportError):
    """Report that a package that only an extra of amnet installs is not there."""


class DeviceMemoryError(AmnetError, MemoryError):
    """Report that a GPU, or the main memory, has no room for what was asked of it."""


class LineWarning(UserWarning):
    """Provide the base of warnings that the commands print as one line on stderr."""


class DeviceWarning(LineWarning):
    """Report that another device computes than might be expected."""


class ChangedHeadWarning(LineWarning):
    """Report that the source of a head of one's own has changed since it was trained."""
