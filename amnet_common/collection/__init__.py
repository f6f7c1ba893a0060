"""The collection: cached features of many images in one HDF5 file, the only door between the two stages."""

from amnet_common.collection.reader import Collection
from amnet_common.collection.side_by_side import JoinedCollection

__all__ = ["Collection", "JoinedCollection"]
