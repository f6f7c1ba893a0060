"""The errors a user can meet. Each text says what was expected, what was found, where, and what to do next.

Every class is also a builtin, so that callers who know nothing of amnet can catch what they expect.
`assert` is kept for our own mistakes; these are for input.
"""


class AmnetError(Exception):
    """Base of all errors that the commands turn into one line and exit status 2."""


class DatasetError(AmnetError, ValueError):
    """A split list, label table or image root cannot be used as it is."""


class CollectionError(AmnetError, ValueError):
    """A file is not a collection of this format, or is not whole."""


class SpecError(AmnetError, ValueError):
    """Two things that must come from the same extraction settings do not."""


class ShapeError(AmnetError, ValueError):
    """Features of another shape than the head was made for."""


class MissingRowsError(AmnetError, LookupError):
    """Rows were asked for that have no features (pending or failed)."""


class ImageError(AmnetError, ValueError):
    """One image cannot be turned into pixels; its row is marked failed."""


class WeightsError(AmnetError, ValueError):
    """Trunk weights cannot be found, read or fitted to the network."""


class ConfigError(AmnetError, ValueError):
    """A configuration value is outside its range."""


class RunError(AmnetError, ValueError):
    """A run directory does not hold a usable head."""


class OutputError(AmnetError, OSError):
    """A file cannot be written where it was asked for."""


class ExistsError(OutputError, FileExistsError):
    """A file was to be made under a name that is taken."""


class BusyError(AmnetError, BlockingIOError):
    """Another process is writing the same rows."""


class ExtraError(AmnetError, ImportError):
    """A package that only an extra of amnet installs is not there."""
