"""What heads say of views of a collection, batch by batch."""

from collections.abc import Iterable, Iterator, Sequence

import torch

from headtrain.features.batches import Picks, Source, scales_on, to_floats
from headtrain.heads.head import Head, Output


def predict_picks(
    heads: Sequence[Head], source: Source, picks: Iterable[Picks]
) -> Iterator[tuple[Picks, list[Output]]]:
    """Yield each of `picks` with every head's output, on the CPU.

    The heads are on one device; every view is read once, and compared with its checksum where it comes from the file.
    Raises CollectionError for damaged features.
    """
    device = heads[0].target_mean.device
    scales = scales_on(device, source)
    for batch, features in source.batches(picks, check=True):
        x = to_floats(torch.as_tensor(features).to(device), scales)
        yield batch, [head.predict(x) for head in heads]
