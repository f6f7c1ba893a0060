"""The head that a configuration asks for."""

from headtrain.heads.head import Head
from headtrain.heads.kernel import KernelHead
from headtrain.heads.own import new_own
from headtrain.heads.paper import PaperHead
from headtrain.heads.released import ReleasedHead
from headtrain.settings.configuration import KERNEL, HeadConfig

ARCHITECTURES: dict[str, type[Head]] = {"paper": PaperHead, "released": ReleasedHead, KERNEL: KernelHead}


def new_head(config: HeadConfig) -> Head:
    """Make a head with fresh parameters from torch's global generator. Raises ConfigError if it cannot be made."""
    kind = ARCHITECTURES.get(config.architecture)
    return kind(config) if kind else new_own(config)
