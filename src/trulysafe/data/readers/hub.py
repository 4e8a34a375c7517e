"""A dataset of the Hugging Face hub, of any layout that `datasets` reads."""

from trulysafe.data.readers._own_files import OwnFiles
from trulysafe.data.readers._own_files import fields as fields
from trulysafe.data.sources import Place


class Options(OwnFiles):
    source: Place = "hub"
