"""Your own files of one JSON list of objects."""

from trulysafe.data.readers._own_files import OwnFiles
from trulysafe.data.readers._own_files import fields as fields


class Options(OwnFiles):
    FORMAT = "json"
