"""How many images a backward pass takes, and what it wants of memory."""

import torch

from amnet_common.machine.memory import memory_of_card
from headtrain.heads.head import Head
from headtrain.heads.rehearsal import rehearse

# images on a CPU, however many heads: (n, L, D) temporaries of more would leave its cache
CHUNK = 64
KEPT, BESIDE = 1.2, 4  # by what autograd keeps, and by the size of x: measured peaks of backward passes are below
SHARE = 0.25  # of a card's memory, for the passes of all heads: views, heads and moments want the rest


def chunk_size(head: Head, batch: int, device: torch.device | str = "cpu", heads: int = 1) -> int:
    """Return how many of a batch's images a backward pass of so many heads takes at most.

    On a GPU, which small kernels leave idle, as many as its memory bears. What a head drops out does not depend on it.
    BatchNorm needs the whole batch: its statistics are those of what it sees at once.
    """
    if head.whole_batch:
        return batch
    if torch.device(device).type != "cuda":
        return min(batch, CHUNK)
    room, images = SHARE * memory_of_card(str(device)), batch
    while images > CHUNK and heads * bytes_of_pass(head, images) > room:
        images = max(CHUNK, -(-images // 2))
    return images


def bytes_of_pass(head: Head, images: int) -> int:
    """Estimate the bytes of a head's pass: what autograd keeps of it, and what the backward pass makes beside that."""
    x = 4 * images * head.config.locations * head.config.channels
    return round(KEPT * rehearse(head, images).kept + BESIDE * x)
