"""Checks of what a configuration points at (files, options of readers and judges, local models), before any job runs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from trulysafe.common.errors import UserError
from trulysafe.config.tables.configuration import Configuration
from trulysafe.config.tables.sources import Dataset
from trulysafe.config.wording import refusal
from trulysafe.plan.consistency import consistency_problems
from trulysafe.plan.local_models import directory_problems
from trulysafe.prefetch.hub import unpinned


def check_inputs(config: Configuration) -> None:
    """Raise one :class:`UserError` that lists everything that is missing or not accepted."""
    if problems := list(_problems(config)):
        raise refusal("The configuration points at things that are not accepted:", problems)


def dataset_options(config: Configuration, dataset: Dataset) -> dict[str, Any]:
    """Options of a dataset's reader, with the data folder as the start of relative paths."""
    return dict(dataset.options) if dataset.kind == "demo" else {"folder": config.data, **dataset.options}


def _problems(config: Configuration) -> Iterator[str]:
    from trulysafe.data import read as data
    from trulysafe.judges import registry as judges
    from trulysafe.label import labellers

    for name, dataset in config.datasets.items():
        try:
            data.validate(dataset.kind, dataset_options(config, dataset))
        except UserError as error:
            yield f"datasets.{name}: {error}"
    for name, judge in config.judges.items():
        try:
            judges.validate(judge.kind, judge.options)
        except UserError as error:
            yield f"judges.{name}: {error}"
    for name, labeller in config.labellers.items():
        try:
            labellers.validate(labeller.kind, labeller.options)
        except UserError as error:
            yield f"labellers.{name}: {error}"
    yield from _endpoints(config)
    yield from _models(config)
    yield from consistency_problems(config)


def _models(config: Configuration) -> Iterator[str]:
    from trulysafe.models import pretrain

    for name, model in config.models.items():
        if model.source == "train":
            try:
                pretrain.check_options(model.architecture, model.training)
            except UserError as error:
                yield f"models.{name}.{error}"
        if model.source == "path":
            yield from directory_problems(name, model)
        if model.source == "hub" and (
            problem := unpinned(f"models.{name}.revision", model.name, model.revision, "model")
        ):
            yield problem
        if model.source != "train" and model.chat_template and not Path(model.chat_template).is_file():
            yield f"models.{name}.chat_template: {model.chat_template} does not exist. Give the path of a Jinja file."


def _endpoints(config: Configuration) -> Iterator[str]:
    from trulysafe.llm.endpoint import check_address

    for name, llm in config.llms.items():
        if llm.backend == "endpoint":
            try:
                check_address(llm.base_url)
            except UserError as error:
                yield f"llms.{name}: {error}"
