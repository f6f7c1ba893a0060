"""What heads say of views of a collection, batch by batch."""

from collections.abc import Iterable, Iterator, Sequence

from headtrain.features.arriving import arriving
from headtrain.features.batches import Picks, Source, scales_on, to_floats
from headtrain.heads.head import Head, Output


def predict_picks(
    heads: Sequence[Head], source: Source, picks: Iterable[Picks]
) -> Iterator[tuple[Picks, list[Output]]]:
    """Yield each of `picks` with every head's output, which nobody has waited for: it is on the heads' one device.

    Who wants some of it keeps that alone, and moves it at the end. Every view is read once, and compared with its
    checksum where it comes from the file.
    Raises CollectionError for damaged features.
    """
    device = heads[0].target_mean.device
    scales = scales_on(device, source)
    for batch, stored in arriving(source.batches(picks, check=True), device):
        x = to_floats(stored, scales)
        yield batch, [head.predict_there(x) for head in heads]
