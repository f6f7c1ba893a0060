"""The head that a configuration asks for."""

from headtrain.heads.head import Head
from headtrain.heads.paper import PaperHead
from headtrain.heads.released import ReleasedHead
from headtrain.settings.configuration import HeadConfig

ARCHITECTURES: dict[str, type[Head]] = {"paper": PaperHead, "released": ReleasedHead}


def new_head(config: HeadConfig) -> Head:
    """A head with fresh parameters from torch's global generator."""
    return ARCHITECTURES[config.architecture](config)
