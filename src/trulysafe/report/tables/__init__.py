"""The tables of a report: ``<name>.py`` makes the files ``tables/<name>.*``; see :mod:`trulysafe.report.listed`."""
