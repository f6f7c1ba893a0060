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
    """Tell how many images of a collection have features, and whether it is being written; empty if none is pending."""
    done, pending = (int((collection.status == mark).sum()) for mark in (DONE, PENDING))
    if not pending:
        return ""
    now = "amnet-extract is writing it now" if is_being_written(collection) else "nothing is writing it now"
    return f"{collection.path}: {done} of {len(collection)} images are done, {pending} pending; {now}"


def _has_writer(part: Part) -> bool:
    marks = part.structure.images
    start, end = marks.at(0), marks.at(len(part.images))
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
