"""Locks on bytes of an open file, that die with its process, however that ends; nothing is written.

Open-file-description locks (Linux): they belong to the open file, do not meet HDF5's own lock on the whole file, and
are kept when another descriptor of the same file is closed. Where a system or a network file system has none, nothing
is locked, as the documentation says.
"""

import errno
import fcntl
import os
import struct
from collections.abc import Callable

FLOCK = "hhqqi4x"  # struct flock of 64-bit Linux: type, whence, start, length (0: to the end), process (0)
BUSY = (errno.EAGAIN, errno.EACCES)
UNSUPPORTED = (errno.EINVAL, errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS, errno.EIO, 524)  # 524: NFS without locks
HAS_RANGES = hasattr(fcntl, "F_OFD_SETLK")


def lock_range(file: int, start: int, length: int) -> bool:
    """Lock bytes of an open file, without waiting; return False if another open file has any of them.

    `length` 0 means all up to the end. Returns True without a lock where the system has none of this kind. Raises
    OSError.
    """
    if not HAS_RANGES:
        return True
    request = struct.pack(FLOCK, fcntl.F_WRLCK, os.SEEK_SET, start, length, 0)
    return _taken(lambda: fcntl.fcntl(file, fcntl.F_OFD_SETLK, request))


def is_locked(file: int, start: int, length: int) -> bool:
    """Tell whether another open file has a lock on any of these bytes; False where the system cannot say.

    Nothing is locked by asking.
    """
    if not HAS_RANGES:
        return False
    try:
        found = fcntl.fcntl(file, fcntl.F_OFD_GETLK, struct.pack(FLOCK, fcntl.F_WRLCK, os.SEEK_SET, start, length, 0))
    except OSError:
        return False
    return bool(struct.unpack(FLOCK, found)[0] != fcntl.F_UNLCK)


def lock_file(file: int) -> bool:
    """Lock an open file as a whole, as `lock_range` does; by flock where there are no locks on ranges."""
    if HAS_RANGES:
        return lock_range(file, 0, 0)
    return _taken(lambda: fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB))


def _taken(lock: Callable[[], object]) -> bool:
    try:
        lock()
    except OSError as error:
        if error.errno in BUSY:
            return False
        if error.errno not in UNSUPPORTED:
            raise
    return True
