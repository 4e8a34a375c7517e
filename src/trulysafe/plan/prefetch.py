"""What is fetched from the hub before anything else."""

from __future__ import annotations

from dataclasses import dataclass

from trulysafe.config.tables.configuration import Configuration
from trulysafe.plan.paths import Results


@dataclass(frozen=True)
class Prefetch:
    """Models and data sets of the hub, and the records that say that they are there."""

    config: Configuration
    results: Results

    @property
    def models(self) -> list[str]:
        """Models of the hub."""
        return [name for name, model in self.config.models.items() if model.source == "hub"]

    @property
    def datasets(self) -> list[str]:
        """Data sets of the hub."""
        return [name for name, dataset in self.config.datasets.items() if dataset.options.from_hub]

    @property
    def converted(self) -> list[str]:
        """Models in a GGUF file, which a rule converts; those of packages it fetches too."""
        return [name for name, model in self.config.models.items() if model.file]

    def gguf(self, name: str) -> list[str]:
        """What to wait for before a model's GGUF file can be read: nothing for one that its own rule fetches."""
        model = self.config.models[name]
        return [f"{model.name}/{model.file}"] if model.source == "path" else self.model(name)

    def model(self, name: str) -> list[str]:
        """The record of a model, nothing for one that is not of the hub."""
        return [self.results(f"prefetch/models/{name}.json")] if name in self.models else []

    def dataset(self, name: str) -> list[str]:
        """The record of a data set, nothing for a file."""
        return [self.results(f"prefetch/datasets/{name}.json")] if name in self.datasets else []

    @property
    def everything(self) -> list[str]:
        """All that needs the network: records of what came from the hub, and models out of packages."""
        packaged = [name for name, model in self.config.models.items() if model.source == "package"]
        return [*self.records, *(self.results(f"models/{name}") for name in packaged)]

    @property
    def records(self) -> list[str]:
        """Records of everything that is fetched from the hub."""
        models = [path for name in self.models for path in self.model(name)]
        return [*models, *(path for name in self.datasets for path in self.dataset(name))]
