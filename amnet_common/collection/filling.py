"""How far a collection has been filled, and whether amnet-extract is at it now."""

import os

from amnet_common.collection.layout import DONE, PENDING
from amnet_common.collection.part import Part
from amnet_common.collection.reader import Collection
from amnet_common.errors import CollectionError
from amnet_common.locks import is_locked


def is_being_written(collection: Collection) -> bool:
    """Tell whether a process has rows of a collection, or of one of its parts, to itself; False where no file system
    or machine can say.
    """
    return any(map(_has_writer, collection.parts))


def filling_line(collection: Collection) -> str:
    """Tell how many images of a collection that is being written have features; empty if none is pending, or nobody
    writes it: whoever needs those that are pending then says so.
    """
    done, pending = (int((collection.status == mark).sum()) for mark in (DONE, PENDING))
    if not pending or not is_being_written(collection):
        return ""
    return (f"{collection.path}: {done} of {len(collection)} images are done, {pending} pending; amnet-extract is "
            "writing it now")  # fmt: skip


def _has_writer(part: Part) -> bool:
    marks = part.structure.images
    start, end = marks.at(0), marks.at(len(part.status))
    if start == end:
        return False
    try:
        file = part.open()
    except (CollectionError, OSError):  # gone meanwhile: whoever reads it will say so
        return False
    try:
        return is_locked(file, start, end - start)
    finally:
        os.close(file)
