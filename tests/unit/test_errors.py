"""What errors say."""

import errno
import os

import pytest

from trulysafe.common.errors import choices, disk_is_full


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


@pytest.mark.parametrize(
    ("value", "meant"),
    [("b1", "B1-old"), ("B1-OLD", "B1-old"), ("b1-widee", "b1-wide"), ("c", "c2"), ("", None), ("zzz", None)],
)
def test_the_nearest_name_begins_with_the_value_or_is_spelt_like_it(value, meant):
    """Case does not count; of names that begin with the value the shortest is meant, of equal ones the first."""
    hint = f" Did you mean {meant!r}?" if meant else ""
    assert choices(value, ["b2", "b1-broader", "b1-wide", "B1-slim", "B1-old", "c2"]).startswith(f"{hint} Accepted: b2")
