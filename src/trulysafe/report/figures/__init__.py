"""The figures of a report: the module ``<name>.py`` makes the files ``figures/<name>.*``; see :mod:`trulysafe.report.listed`."""
