"""The head that a configuration asks for."""

from headtrain.configuration import HeadConfig
from headtrain.head import Head
from headtrain.paper_head import PaperHead
from headtrain.released_head import ReleasedHead

ARCHITECTURES: dict[str, type[Head]] = {"paper": PaperHead, "released": ReleasedHead}


def new_head(config: HeadConfig) -> Head:
    """A head with fresh parameters from torch's global generator."""
    return ARCHITECTURES[config.architecture](config)
