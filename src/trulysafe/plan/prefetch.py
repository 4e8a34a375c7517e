"""What is fetched before anything else: from the hub, from the package index, as plain files by their address."""

import os
from collections.abc import Iterable
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

from trulysafe.data.records import lies_there
from trulysafe.data.sources import ReaderOptions, SourceOptions
from trulysafe.plan.paths import Part
from trulysafe.prefetch.download import file_name, no_network, unreachable


class Source(NamedTuple):
    """Where something that is fetched comes from."""

    name: str
    """What errors call it."""
    url: str = ""
    """Address that must answer; none for a package, as pip alone knows its index."""
    checksum: str = ""
    """Of a plain file."""


class Prefetch(Part):
    """Models and data sets from outside, and what says that they are there."""

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
        """What to wait for before a data set can be read: its record, fetched files, nothing for files at hand."""
        return [self.results(f"prefetch/datasets/{name}.json")] if name in self.datasets else self.downloads(name)

    def downloads(self, name: str) -> list[str]:
        """Files of a data set that are fetched by their address: none where any lies in the folder `data`."""
        options = self.config.datasets[name].options.below(self.config.data)
        if not isinstance(options, SourceOptions) or options.from_hub or lies_there(options.folder, options.path):
            return []
        return [self._download(url, checksum) for url, checksum in options.urls.items()]

    def reader_options(self, name: str) -> ReaderOptions:
        """Options of a data set's reader: its paths start from the folder `data`, or are those of fetched files."""
        options, fetched = self.config.datasets[name].options.below(self.config.data), tuple(self.downloads(name))
        return options.model_copy(update={"path": fetched, "folder": "."}) if fetched else options

    @property
    def records(self) -> list[str]:
        """Records of everything that is fetched from the hub."""
        return [path for path in self.sources if path.startswith(self.results("prefetch/"))]

    @property
    def everything(self) -> list[str]:
        """All that needs the network: records of what came from the hub, models out of packages, files."""
        needed = {path for name in self.config.datasets for path in self.downloads(name)}
        return [path for path, source in self.sources.items() if not source.checksum or path in needed]

    @cached_property
    def sources(self) -> dict[str, Source]:
        """Where everything comes from that may have to be fetched, by where it is put."""
        hub, found = os.environ.get("HF_ENDPOINT", "https://huggingface.co"), {}
        for name, model in self.config.models.items():
            if model.source == "hub":
                found[self.model(name)[0]] = Source(f"models.{name}: {model.name}@{model.revision}", hub)
            if model.source == "package":
                found[self.results(f"models/{name}")] = Source(f"models.{name}: the package {model.name}")
        for name, dataset in self.config.datasets.items():
            options = dataset.options
            if isinstance(options, SourceOptions) and options.from_hub:
                found[self.dataset(name)[0]] = Source(f"datasets.{name}: {options.repo}@{options.revision}", hub)
            elif isinstance(options, SourceOptions):
                for url, checksum in options.urls.items():
                    found.setdefault(self._download(url, checksum), Source(f"datasets.{name}: {url}", url, checksum))
        return found

    def check_network(self, paths: Iterable[str], configuration: Iterable[Path | str]) -> None:
        """Raise one :class:`UserError` where a server does not answer that something of ``paths`` must come from.

        Args:
            paths: what is about to be made; most of it comes from nowhere.
            configuration: files of the configuration, for the command that fetches everything elsewhere.
        """
        needed = set(paths)
        sources = [source for path, source in self.sources.items() if path in needed]
        if servers := unreachable(source.url for source in sources if source.url):
            raise no_network(servers, (source.name for source in sources), configuration)

    def _download(self, url: str, checksum: str) -> str:
        return self.results(f"downloads/{checksum[:8].lower()}/{file_name(url)}")
