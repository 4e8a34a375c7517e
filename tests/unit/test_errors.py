"""What errors say."""

import errno
import os

import pytest

from trulysafe.errors import disk_is_full


def chained(cause):
    """An error that was raised while another was handled."""
    try:
        try:
            raise cause
        except Exception as error:
            raise RuntimeError("no table was written") from error
    except RuntimeError as error:
        return error


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_is_told_from_a_number_a_cause_or_a_line(number):
    assert disk_is_full(OSError(number, "in another language"))
    assert disk_is_full(chained(OSError(number, os.strerror(number))))
    assert disk_is_full(RuntimeError(f"io error: {os.strerror(number)} (os error)"))
    assert disk_is_full(f"worker 1: {os.strerror(number)}")


def test_other_errors_are_no_full_disk():
    assert not disk_is_full(chained(OSError(errno.EACCES, os.strerror(errno.EACCES))))
    assert not disk_is_full("worker 1: killed")
    assert not disk_is_full(None)
