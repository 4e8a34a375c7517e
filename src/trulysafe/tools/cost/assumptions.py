"""What the plan takes for granted; every value is printed with the plan."""

import tomllib
from collections.abc import Iterable
from math import inf
from pathlib import Path
from types import SimpleNamespace
from typing import Self

from trulysafe.common.errors import UserError, not_accepted

ASSUMED = tomllib.loads(Path(__file__).with_suffix(".toml").read_text(encoding="utf-8"))


def _assumed(said: str) -> tuple[str, float]:
    name, _, value = said.partition("=")
    if name not in ASSUMED:
        raise not_accepted("--assume", name, ASSUMED)
    try:
        number = float(value)
    except ValueError:
        number = 0
    if not 0 < number < inf:
        raise UserError(f"--assume {name}: {value!r} is not accepted. Accepted: numbers above 0, as in {name}=1.5.")
    return name, number


class Assumptions(SimpleNamespace):
    """Values that a configuration does not know, by the names in ``assumptions.toml``; some may be given others."""

    def __init__(self, **others: float) -> None:
        super().__init__(**{name: about["value"] for name, about in ASSUMED.items()} | others)

    @classmethod
    def on(cls, gpu: str, others: Iterable[str] = ()) -> Self:
        """Those for a GPU type, and ``others`` as a command line says them, ``name=value``; without a GPU, jobs run on
        this machine and start faster. UserError: an unknown name, or no number above 0."""
        here = {"start_seconds": 15.0, "cpu_job_seconds": 8.0} if gpu == "cpu" else {}
        return cls(**here | dict(map(_assumed, others)))

    def lines(self, engine: bool = True) -> list[str]:
        """Name, value and meaning of every assumption, those about an ``engine`` of generation where there is one."""
        told = {name: value for name, value in vars(self).items() if engine or not name.startswith("engine_")}
        return [f"  {name} = {value:g}: {ASSUMED[name]['meaning']}" for name, value in told.items()]
