"""How a command ends: what may pass by itself has status 75, what a person must change 2, a mistake of amnet's 70."""

import errno
import os

import pytest

from amnet_common.endings import ending, is_lost_store
from amnet_common.errors import BegunAnewError, BusyError, CollectionError, DatasetError, LostStoreError, OutputError
from amnet_common.interrupts import HungUp, Terminated


def from_system(number, kind=OSError):
    return kind(number, os.strerror(number))


def wrapped(cause, error):
    """The error as it is when raised from the cause."""
    try:
        raise error from cause
    except Exception as caught:
        return caught


@pytest.mark.parametrize(
    "number",
    [errno.EIO, errno.ESTALE, errno.ETIMEDOUT, errno.ECONNRESET, errno.EAGAIN, errno.ENOTCONN, errno.ENOSPC],
)
def test_a_store_that_goes_away_is_to_be_tried_again_however_it_is_wrapped(number):
    error = from_system(number)
    for one in (error, wrapped(error, OutputError("x")), wrapped(wrapped(error, ValueError()), DatasetError("x"))):
        assert ending(one)[1] == 75


@pytest.mark.parametrize("error", [BusyError("b"), BegunAnewError("n"), LostStoreError("l")])
def test_what_another_command_or_a_lost_disk_hinders_is_to_be_tried_again_in_its_own_words(error):
    assert ending(error) == (str(error), 75)


@pytest.mark.parametrize("number", [errno.ENOENT, errno.EACCES, errno.EISDIR, errno.ENOTDIR, errno.EROFS, errno.EFBIG])
def test_a_file_that_is_not_there_or_forbidden_is_wrong_input(number):
    error = from_system(number)
    assert ending(error) == (str(error), 2)
    assert ending(wrapped(error, CollectionError("x"))) == ("x", 2)


def test_what_hdf5_says_of_a_system_call_counts():
    assert is_lost_store(OSError("Can't read data (file read failed: errno = 5, error message = 'Input/output error')"))
    assert not is_lost_store(OSError("Unable to open file (unable to open file: errno = 2, error message = 'No such')"))


def test_each_way_of_being_stopped_has_its_status():
    kinds = (HungUp, KeyboardInterrupt, Terminated)
    assert [ending(kind("kept")) for kind in kinds] == [("interrupted. kept", status) for status in (129, 130, 143)]


def test_errors_that_later_tries_may_not_meet_are_still_of_the_kinds_that_callers_know():
    assert issubclass(BegunAnewError, CollectionError)
    assert issubclass(LostStoreError, DatasetError)
    assert issubclass(BusyError, BlockingIOError)
