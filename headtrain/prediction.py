"""What a head says of views of a collection, batch by batch."""

from collections.abc import Iterable, Iterator

import torch

from amnet_common.collection import Collection
from headtrain.batches import Picks, scales_on, to_floats
from headtrain.head import Head, Output


def predict_picks(head: Head, collection: Collection, picks: Iterable[Picks]) -> Iterator[tuple[Picks, Output]]:
    """Each of `picks` with the head's output, on the CPU. Every view is compared with its checksum.

    Raises CollectionError for damaged features.
    """
    device = head.target_mean.device
    scales = scales_on(device, collection)
    for batch, features in collection.batches(picks, check=True):
        yield batch, head.predict(to_floats(torch.from_numpy(features).to(device), scales))
