"""Which trainings form a job, and which policies come out of them."""

from __future__ import annotations

from functools import cached_property
from typing import Any

from trulysafe.config.order import Policy, rounds, seeds, start_policy, states_policy
from trulysafe.config.resolved import training_of
from trulysafe.config.tables.training import Experiment
from trulysafe.plan.paths import Paths

UNTRAINED = "untrained."


class Runs(Paths):
    """Which trainings form a job, and which policies come out of them."""

    def draws(self, mix: str) -> list[int]:
        """Seeds of every experiment that trains on a mix; each seed has its own draw."""
        users = [experiment for experiment in self.config.experiments.values() if experiment.mix == mix]
        return sorted({seed for experiment in users for seed in seeds(experiment)})

    @cached_property
    def trained(self) -> dict[str, list[tuple[str, int]]]:
        """Training jobs: runs (experiment, seed) of one model, method and round, ``runs_per_job`` at a time.

        A change of one method's options then reruns that method's jobs and no others.
        """
        runs: dict[str, list[tuple[str, int]]] = {}
        round_of = rounds(self.config)
        for name, experiment in self.config.experiments.items():
            if experiment.method is not None:
                later = f"-round{round_of[name]}" if round_of[name] > 1 else ""
                runs.setdefault(f"{experiment.model}.{experiment.method}{later}", []).extend(
                    (name, seed) for seed in seeds(experiment)
                )
        size = self.config.batching.runs_per_job
        return {
            f"{key}-{start // size}": of_key[start : start + size]
            for key, of_key in runs.items()
            for start in range(0, len(of_key), size)
        }

    @cached_property
    def untrained(self) -> dict[str, str]:
        """Batches that are a model as it is: batch -> model."""
        return {
            f"{UNTRAINED}{name}": item.model for name, item in self.config.experiments.items() if item.method is None
        }

    @property
    def batches(self) -> list[str]:
        """All batches of policies that answer, untrained ones first."""
        return [*self.untrained, *self.trained]

    def batch_experiments(self, batch: str) -> dict[str, Experiment]:
        """Experiments of a training job."""
        return {name: self.config.experiments[name] for name, _ in self.trained[batch]}

    def batch_model(self, batch: str) -> str:
        """The model that a training job starts from."""
        return next(iter(self.batch_experiments(batch).values())).model

    def batch_method(self, batch: str) -> str:
        """The method of a training job."""
        return str(next(iter(self.batch_experiments(batch).values())).method)

    def batches_of(self, experiment: str) -> list[str]:
        """Training jobs that hold runs of an experiment."""
        return [batch for batch, runs in self.trained.items() if any(name == experiment for name, _ in runs)]

    @cached_property
    def named_policies(self) -> dict[str, Policy]:
        """Policies that pairs or experiments build on, by their name in paths."""
        ranking = [states_policy(self.config, name) for name in self.config.pairs]
        starts = [start_policy(self.config, name, seed) for runs in self.trained.values() for name, seed in runs]
        return {str(policy): policy for policy in [*ranking, *starts] if policy is not None}

    def _batch_of(self, policy: Policy) -> str:
        return next(batch for batch, runs in self.trained.items() if (policy.experiment, policy.seed) in runs)

    def _policy_spec(self, policy: Policy) -> dict[str, Any]:
        place = f"policies/{self._batch_of(policy)}/{policy.experiment}/seed{policy.seed}/step{policy.step}"
        model = self.config.models[self.config.experiments[policy.experiment].model]
        return {"source": self.results(place), "dtype": model.dtype}

    def start(self, name: str, seed: int) -> str:
        """Name of the model or policy that a run starts from."""
        return str(start_policy(self.config, name, seed) or self.config.experiments[name].model)

    @cached_property
    def bases(self) -> dict[str, str]:
        """Trained experiment -> the first experiment without training of its model, where there is one."""
        first: dict[str, str] = {}
        for batch, model in self.untrained.items():
            first.setdefault(model, batch.removeprefix(UNTRAINED))
        trained = {name: item.model for name, item in self.config.experiments.items() if item.method is not None}
        return {name: first[model] for name, model in trained.items() if model in first}

    @cached_property
    def starts(self) -> dict[str, str]:
        """Trained experiment -> the experiment whose last step it starts from; nothing where it starts from an earlier step."""
        found = dict(self.bases)
        for name, item in self.config.experiments.items():
            if item.start_from is not None:
                found.pop(name, None)
                earlier = self.config.experiments[item.start_from.experiment]
                if item.start_from.step in (None, training_of(self.config, earlier).steps):
                    found[name] = item.start_from.experiment
        return found
