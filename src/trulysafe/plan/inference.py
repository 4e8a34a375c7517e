"""Arms that act while the model answers: what they read."""

from typing import Any

from trulysafe.config.tables.inference import Retrieve, Steer
from trulysafe.evaluate.acts import modules_of
from trulysafe.plan.paths import Part


class Inference(Part):
    """Directions that steer, rewards that rank samples, passages that stand before requests."""

    def steer(self, experiment: str) -> Steer:
        """The stanza of an experiment that steers."""
        return self._asked(experiment, "steer")

    @property
    def steered(self) -> list[str]:
        """Experiments that steer."""
        return [name for name, item in self.config.experiments.items() if item.steer]

    def direction(self, experiment: str) -> str:
        """Where the direction of an experiment lies."""
        return self.results(f"directions/{experiment}.safetensors")

    def retrieve(self, experiment: str) -> Retrieve:
        """The stanza of an experiment that retrieves passages."""
        return self._asked(experiment, "retrieve")

    @property
    def retrieving(self) -> list[str]:
        """Experiments that retrieve passages."""
        return [name for name, item in self.config.experiments.items() if item.retrieve and item.retrieve.k]

    def kinds(self, experiment: str) -> list[str]:
        """Kinds of the tables that passages of an experiment come from."""
        return [self.config.datasets[name].options.table_kind for name in self.retrieve(experiment).corpus]

    def files(self, experiment: str) -> dict[str, str]:
        """What must be there before an experiment can answer, beside its model."""
        item = self.config.experiments[experiment]
        if item.steer:
            return {"direction": self.direction(experiment)}
        if item.retrieve:
            return {"passages": self.results(f"passages/{experiment}.parquet")} if item.retrieve.k else {}
        return {"reward": self.results(f"rewards/{item.best_of.reward}/model")} if item.best_of else {}

    def modules(self, job: str) -> list[str]:
        """Modules of what the policies of a job do while they answer, for the fingerprint of jobs that load them."""
        return modules_of(self.plan.models.of_job(job))

    def acting(self, experiment: str) -> dict[str, Any]:
        """What an experiment does while its model answers, for :mod:`trulysafe.evaluate.acting`; empty if nothing."""
        item, files = self.config.experiments[experiment], self.files(experiment)
        if item.steer:
            return {"steer": {**item.steer.model_dump(include={"layer", "coefficient", "control"}), **files}}
        if item.retrieve:
            return {"retrieve": {**item.retrieve.model_dump(exclude={"corpus"}), **files}}
        if item.best_of is None:
            return {}
        reward, batch = item.best_of.reward, self.config.batching.forward_batch
        read = {"identity": self.plan.reward.identity(reward), "pooling": self.config.rewards[reward].pooling}
        return {"best_of": {**item.best_of.model_dump(), **files, **read, "batch_size": batch}}

    def _asked(self, experiment: str, act: str) -> Any:
        """What an experiment says of an act; KeyError where it does not act so."""
        found = getattr(self.config.experiments[experiment], act)
        if found is None:
            raise KeyError(experiment)
        return found
