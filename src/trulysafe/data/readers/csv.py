"""Your own CSV files, the columns named in the first line."""

from trulysafe.data.readers._own_files import OwnFiles
from trulysafe.data.readers._own_files import fields as fields


class Options(OwnFiles):
    FORMAT = "csv"
