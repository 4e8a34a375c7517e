"""A dataset of the Hugging Face hub, of any layout that `datasets` reads."""

from __future__ import annotations

from trulysafe.data.readers._own_files import OwnFiles, fields
from trulysafe.data.sources import Place

__all__ = ["Options", "fields"]


class Options(OwnFiles):
    source: Place = "hub"
