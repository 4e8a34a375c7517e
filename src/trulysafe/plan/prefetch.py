"""What is fetched from the hub before anything else."""

from trulysafe.plan.paths import Part


class Prefetch(Part):
    """Models and data sets of the hub, and the records that say that they are there."""

    @property
    def models(self) -> list[str]:
        """Models of the hub."""
        return [name for name, model in self.config.models.items() if model.source == "hub"]

    @property
    def datasets(self) -> list[str]:
        """Data sets of the hub."""
        return [name for name, dataset in self.config.datasets.items() if dataset.options.from_hub]

    @property
    def packaged(self) -> list[str]:
        """Models that a package of the package index ships."""
        return [name for name, model in self.config.models.items() if model.source == "package"]

    def model(self, name: str) -> list[str]:
        """The record of a model, nothing for one that is not of the hub."""
        return [self.results(f"prefetch/models/{name}.json")] if name in self.models else []

    def dataset(self, name: str) -> list[str]:
        """The record of a data set, nothing for a file."""
        return [self.results(f"prefetch/datasets/{name}.json")] if name in self.datasets else []

    @property
    def everything(self) -> list[str]:
        """All that needs the network: records of what came from the hub, and models out of packages."""
        return [*self.records, *(self.results(f"models/{name}") for name in self.packaged)]

    @property
    def records(self) -> list[str]:
        """Records of everything that is fetched from the hub."""
        models = [path for name in self.models for path in self.model(name)]
        return [*models, *(path for name in self.datasets for path in self.dataset(name))]
