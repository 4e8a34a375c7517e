"""Typed configuration; imports neither torch nor pandas, since the Snakefile reads it at every start."""
