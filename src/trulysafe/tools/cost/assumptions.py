"""What the plan takes for granted; every value is printed with the plan."""

import tomllib
from pathlib import Path
from types import SimpleNamespace
from typing import Self

ASSUMED = tomllib.loads(Path(__file__).with_suffix(".toml").read_text(encoding="utf-8"))


class Assumptions(SimpleNamespace):
    """Values that a configuration does not know, by the names in ``assumptions.toml``; some may be given others."""

    def __init__(self, **others: float) -> None:
        super().__init__(**{name: about["value"] for name, about in ASSUMED.items()} | others)

    @classmethod
    def on(cls, gpu: str) -> Self:
        """Those for a GPU type; without one, jobs run on this machine and start faster."""
        return cls(start_seconds=15, cpu_job_seconds=8) if gpu == "cpu" else cls()

    def lines(self) -> list[str]:
        """Name, value and meaning of every assumption."""
        return [f"  {name} = {value:g}: {ASSUMED[name]['meaning']}" for name, value in vars(self).items()]
