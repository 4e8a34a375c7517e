"""Data: read sources into tables, split prompts over roles, check for leakage."""
