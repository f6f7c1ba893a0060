"""How a command ends after an error: the line for a person, the exit status for a script.

Exit status: 0 all is well; 1 done, but something is not as it should be, which the command says; 2 wrong use or input;
70 an error of amnet itself, whose traceback stands in a file that the line names; 75 try again later: another command
is at work there, the disk is full, or the storage has gone; 129 the terminal hung up; 130 interrupted; 143 terminated.
"""

import errno
import re
import resource
import sys
import tempfile
import traceback
from collections.abc import Container, Iterator

from amnet_common import __version__
from amnet_common.errors import AmnetError, TryLaterError
from amnet_common.interrupts import HungUp, Terminated
from amnet_common.out_of_memory import is_out_of_memory, refusal

NOT_ALL_WELL, BAD_INPUT, OUR_FAULT, TRY_LATER = 1, 2, 70, 75
HUNG_UP, INTERRUPTED, TERMINATED = 129, 130, 143
NO_ROOM = (errno.ENOSPC, errno.EDQUOT)
GONE = frozenset({errno.EIO, errno.ESTALE, errno.ETIMEDOUT, errno.EAGAIN, errno.ENOTCONN, errno.ECONNRESET,
                  errno.ECONNREFUSED, errno.ECONNABORTED, errno.EHOSTDOWN, errno.EHOSTUNREACH, errno.ENETDOWN,
                  errno.ENETUNREACH, errno.ENETRESET})  # fmt: skip
OF_HDF5 = re.compile(r"errno = (\d+)")  # in what it says of a system call that failed
AGAIN = "run the same command again"


def ending(error: BaseException, options: Container[str] = ()) -> tuple[str, int]:
    """Return the line and the exit status of a command that ends with an error; `options`: those that it has.

    An error that is none of ours has its traceback written to a file, which the line names.
    """
    if isinstance(error, KeyboardInterrupt):
        kinds = {Terminated: TERMINATED, HungUp: HUNG_UP}
        return f"interrupted. {error}", kinds.get(type(error), INTERRUPTED)
    if is_full_disk(error):
        cure = "" if AGAIN in str(error) else f"; free some room and {AGAIN}, with --resume if it has that"
        return f"{error}{cure}", TRY_LATER
    if isinstance(error, OSError) and error.errno in (errno.EMFILE, errno.ENFILE):
        most = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        return f"{error}; a process may have {most} files open here (ulimit -n)", BAD_INPUT
    if isinstance(error, AmnetError | OSError):  # OSError: a file that goes away in the middle
        return str(error), TRY_LATER if is_lost_store(error) else BAD_INPUT
    if is_out_of_memory(error):
        return str(refusal(error, options)), BAD_INPUT
    line = " ".join(f"{type(error).__name__}: {error}".split())
    return f"an error of amnet itself: {line[:300]}; {written_traceback(error)}", OUR_FAULT


def is_full_disk(error: BaseException | None) -> bool:
    """Tell whether an error, or one that it comes from, says that there is no room left on a disk."""
    return any(isinstance(one, OSError) and one.errno in NO_ROOM for one in origins(error))


def is_lost_store(error: BaseException | None) -> bool:
    """Tell whether an error, or one that it comes from, says that a disk, a server or a lock does not answer now."""
    for one in origins(error):
        if isinstance(one, TryLaterError | TimeoutError | ConnectionError):
            return True
        if isinstance(one, OSError):
            said = OF_HDF5.search(str(one)) if one.errno is None else None
            if (int(said[1]) if said else one.errno) in GONE:
                return True
    return False


def origins(error: BaseException | None) -> Iterator[BaseException]:
    """Yield an error and those that it comes from."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def written_traceback(error: BaseException) -> str:
    """Write the traceback of an error to a new file in the system's temporary folder, and say where."""
    try:
        with tempfile.NamedTemporaryFile("w", prefix="amnet-error-", suffix=".log", delete=False, encoding="utf-8",
                                         errors="backslashreplace") as file:  # fmt: skip
            file.write(f"amnet {__version__}, python {sys.version.split()[0]}: {sys.argv}\n")
            file.writelines(traceback.format_exception(error))
    except OSError:
        return "--debug shows the traceback"
    return f"its traceback is in {file.name}; please report it"
