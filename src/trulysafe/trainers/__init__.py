"""Preference trainers on top of TRL: one trainer, and a thin name for each paper's method."""
