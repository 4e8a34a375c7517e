"""The figures of a report: ``<name>.py`` makes the files ``figures/<name>.*``; see :mod:`trulysafe.report.listed`."""
