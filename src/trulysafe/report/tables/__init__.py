"""The tables of a report: the module ``<name>.py`` makes the files ``tables/<name>.*``; see :mod:`trulysafe.report.listed`."""
