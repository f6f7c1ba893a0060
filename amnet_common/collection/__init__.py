"""The collection: cached features of many images in one HDF5 file, the only door between the two stages."""

from amnet_common.collection.reader import Collection

__all__ = ["Collection"]
