"""The bank that a number of heads fit in."""

from collections.abc import Sequence

from headtrain.bank.bank import Bank
from headtrain.bank.paper_bank import PaperBank
from headtrain.bank.released_bank import ReleasedBank
from headtrain.head import Head

BANKS: dict[str, type[Bank]] = {"paper": PaperBank, "released": ReleasedBank}


def new_bank(heads: Sequence[Head]) -> Bank:
    """The heads, moved into common memory."""
    return BANKS[heads[0].config.architecture](heads)
