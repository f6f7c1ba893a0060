"""What heads say of views of a collection, batch by batch."""

from collections.abc import Iterable, Iterator, Sequence

import torch

from amnet_common.collection import Collection
from headtrain.batches import Picks, scales_on, to_floats
from headtrain.head import Head, Output


def predict_picks(
    heads: Sequence[Head], collection: Collection, picks: Iterable[Picks]
) -> Iterator[tuple[Picks, list[Output]]]:
    """Each of `picks` with every head's output, on the CPU. Every view is read once and compared with its checksum.

    The heads are on one device. Raises CollectionError for damaged features.
    """
    device = heads[0].target_mean.device
    scales = scales_on(device, collection)
    for batch, features in collection.batches(picks, check=True):
        x = to_floats(torch.from_numpy(features).to(device), scales)
        yield batch, [head.predict(x) for head in heads]
