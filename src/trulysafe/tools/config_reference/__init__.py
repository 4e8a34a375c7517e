"""Writes config/README.md from the typed configuration."""
