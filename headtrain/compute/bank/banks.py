"""The bank that a number of heads fit in."""

from collections.abc import Sequence

from headtrain.compute.bank.bank import Bank
from headtrain.compute.bank.paper import PaperBank
from headtrain.compute.bank.released import ReleasedBank
from headtrain.heads.head import Head

BANKS: dict[str, type[Bank]] = {"paper": PaperBank, "released": ReleasedBank}


def new_bank(heads: Sequence[Head]) -> Bank:
    """Make the bank of these heads, which are moved into common memory."""
    return BANKS[heads[0].config.architecture](heads)
