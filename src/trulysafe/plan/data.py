"""Models, data sets and judges: what to wait for, how to load them."""

from __future__ import annotations

from typing import Any

from trulysafe.config.order import Policy, kept_steps
from trulysafe.config.resolved import training_of
from trulysafe.config.uses import uses
from trulysafe.plan.resources import size_class
from trulysafe.plan.runs import UNTRAINED, Runs


class Sources(Runs):
    """Models, data sets and judges: what to wait for, how to load them."""

    def model_files(self, name: str) -> list[str]:
        """What to wait for before a model or policy can be loaded: nothing for a local directory."""
        if name in self.named_policies:
            return [self.results(f"policies/{self._batch_of(self.named_policies[name])}")]
        places = {"train": f"models/{name}", "hub": f"prefetch/models/{name}.json"}
        source = self.config.models[name].source
        return [self.results(places[source])] if source in places else []

    def dataset_files(self, name: str) -> list[str]:
        """What to wait for before a data set can be read: nothing for a file."""
        return [self.results(f"prefetch/datasets/{name}.json")] if name in self.hub_datasets else []

    def dataset_repo(self, name: str) -> str:
        """Repository on the hub that a data set is read from."""
        from trulysafe.data.read import SOURCES

        dataset = self.config.datasets[name]
        return str(dataset.options.get("repo") or SOURCES[dataset.kind].repo)

    def judge_spec(self, name: str) -> dict[str, Any]:
        """How to open a judge: kind, options and, of a fitted one, the folder of its fit."""
        judge = self.config.judges[name]
        artefact = self.results(f"judges/{name}") if judge.datasets else None
        return {"kind": judge.kind, "options": dict(judge.options), "artefact": artefact}

    @property
    def hub_models(self) -> list[str]:
        """Models of the hub."""
        return [name for name, model in self.config.models.items() if model.source == "hub"]

    @property
    def hub_datasets(self) -> list[str]:
        """Data sets of the hub."""
        return [
            name
            for name, dataset in self.config.datasets.items()
            if dataset.options.get("source", "hub" if dataset.kind == "hub" else "file") == "hub"
        ]

    @property
    def used_as(self) -> dict[str, dict[str, Any]]:
        """Data sets by the role of the stages that read them, ``{"kind": ..., "datasets": [...]}``; what pairs are made of lies in tables of its own."""
        found: dict[str, dict[str, Any]] = {}
        for use in uses(self.config):
            if use.role != "pairs" and use.datasets:
                names = found.get(use.role, {"datasets": []})["datasets"]
                found[use.role] = {"kind": use.kind, "datasets": sorted({*names, *use.datasets})}
        return found

    @property
    def fetched(self) -> list[str]:
        """Records of everything that is fetched from the hub."""
        models = [path for name in self.hub_models for path in self.model_files(name)]
        return [*models, *(path for name in self.hub_datasets for path in self.dataset_files(name))]

    def model_spec(self, name: str) -> dict[str, Any]:
        """How to load a model, or a policy that others build on (:mod:`trulysafe.models.load`)."""
        if name in self.named_policies:
            return self._policy_spec(self.named_policies[name])
        model = self.config.models[name]
        if model.source == "train":
            return {"source": self.results(f"models/{name}"), "dtype": model.dtype}
        return {
            "source": model.name,
            "revision": model.revision,
            "chat_template": model.chat_template,
            "end_of_turn": model.end_of_turn,
            "dtype": model.dtype,
        }

    def model_of(self, start: str) -> str:
        """The model behind a model or a policy that others build on."""
        policy = self.named_policies.get(start)
        return self.config.experiments[policy.experiment].model if policy else start

    def size(self, name: str) -> str:
        """Size class of a model, or of a policy that others build on (:mod:`trulysafe.plan.resources`)."""
        model = self.config.models[self.model_of(name)]
        return model.size if model.source == "train" else size_class(model.name, model.size)

    def policies(self, batch: str) -> list[dict[str, Any]]:
        """The policies of a batch: how to load each, and whether it is an end point or an earlier snapshot."""
        if batch in self.untrained:
            place = {"experiment": batch.removeprefix(UNTRAINED), "seed": 0, "step": 0}
            return [{**place, "last": True, "model": self.model_spec(self.untrained[batch])}]
        found = []
        for name, seed in self.trained[batch]:
            experiment = self.config.experiments[name]
            training = training_of(self.config, experiment)
            for step in kept_steps(training):
                spec = self._policy_spec(Policy(name, seed, step))
                found.append(
                    {"experiment": name, "seed": seed, "step": step, "last": step == training.steps, "model": spec}
                )
        return found
