"""Your own CSV files, the columns named in the first line."""

from __future__ import annotations

from trulysafe.data.readers._own_files import OwnFiles, fields

__all__ = ["Options", "fields"]


class Options(OwnFiles):
    FORMAT = "csv"
