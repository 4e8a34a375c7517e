"""Typed configuration; imports neither torch nor pandas, since the Snakefile reads it at every start."""

from trulysafe.config.load import load
from trulysafe.config.resolved import method_of, training_of
from trulysafe.config.tables import Configuration

__all__ = ["Configuration", "load", "method_of", "training_of"]
