"""Legends have as many columns as their labels leave room for."""

import pytest

from trulysafe.report.style import legend_columns


@pytest.mark.parametrize(
    ("lengths", "columns"),
    [
        ([10, 10, 10], 3),
        ([30, 10, 10], 2),
        ([10, 30, 30], 1),
        ([10] * 6, 3),
        ([10, 30, 10, 30], 1),
        ([60], 1),
        ([20], 3),
    ],
)
def test_columns_follow_the_longest_label_of_each(lengths: list[int], columns: int) -> None:
    assert legend_columns(["x" * length for length in lengths], 3, 45) == columns
