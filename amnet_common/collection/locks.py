"""One writer for each row: a lock on a range of rows that dies with its process, however that ends.

Open-file-description locks (Linux): they belong to the open file, do not meet HDF5's own lock on the whole file, and
are kept when another descriptor of the same file is closed. Where a system or a network file system has none, nothing
is locked, as the documentation says.
"""

import errno
import fcntl
import os
import struct

from amnet_common.collection.layout import Extent

FLOCK = "hhqqi4x"  # struct flock of 64-bit Linux: type, whence, start, length, process (0)
UNSUPPORTED = (errno.EINVAL, errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS)


def lock_rows(file: int, images: Extent, first: int, last: int) -> bool:
    """Lock rows `first` to `last` (exclusive) for this open file; return False if another process has any of them.

    Returns True without a lock where the system has none of this kind, or for no rows.
    """
    if first >= last or not hasattr(fcntl, "F_OFD_SETLK"):  # to lock no bytes would mean all up to the end of the file
        return True
    start = images.at(first)
    request = struct.pack(FLOCK, fcntl.F_WRLCK, os.SEEK_SET, start, images.at(last) - start, 0)
    try:
        fcntl.fcntl(file, fcntl.F_OFD_SETLK, request)
    except OSError as error:
        if error.errno in (errno.EAGAIN, errno.EACCES):
            return False
        if error.errno not in UNSUPPORTED:
            raise
    return True
