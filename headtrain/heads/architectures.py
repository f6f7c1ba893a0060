"""The head that a configuration asks for."""

from headtrain.heads.head import Head
from headtrain.heads.kernel import KernelHead
from headtrain.heads.own import own_class
from headtrain.heads.paper import PaperHead
from headtrain.heads.released import ReleasedHead
from headtrain.settings.configuration import KERNEL, HeadConfig

ARCHITECTURES: dict[str, type[Head]] = {"paper": PaperHead, "released": ReleasedHead, KERNEL: KernelHead}


def head_class(config: HeadConfig) -> type[Head]:
    """Return the class of the head that a configuration asks for.

    Raises RunError for a class of one's own that was not named, and is not installed.
    """
    return ARCHITECTURES.get(config.architecture) or own_class(config)


def new_head(config: HeadConfig) -> Head:
    """Make a head with fresh parameters from torch's global generator."""
    return head_class(config)(config)
