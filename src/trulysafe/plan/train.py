"""What a training job reads and does."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from trulysafe.config.resolved import method_of, training_of
from trulysafe.config.tables.training import LAUNCH
from trulysafe.methods.method import REWARD_JUDGE
from trulysafe.plan.pairs import Preferences
from trulysafe.plan.paths import distinct


class TrainingJobs(Preferences):
    """What a training job reads and does."""

    def training_inputs(self, batch: str) -> dict[str, Any]:
        """Mixes, starting points, reference and, for methods that read one, reward of a training job."""
        runs, method = self.training_runs(batch), self.config.methods[self.batch_method(batch)]
        inputs: dict[str, Any] = {
            "mixes": distinct(run["mix"] for run in runs),
            "reference": distinct(path for run in runs for path in run["reference"]),
            "model": distinct(
                path for name, seed in self.trained[batch] for path in self.model_files(self.start(name, seed))
            ),
        }
        if rewards := distinct(path for run in runs for path in run["rewards"]):
            inputs["reward"] = self.results(f"rewards/{method.reward}/model")
            inputs["rewards"] = rewards
        if method.token_rewards:
            inputs["token_rewards"] = self.results(f"token_rewards/{method.token_rewards}")
            inputs["token_values"] = [
                self.results(f"token_values/{method.token_rewards}/{name}.parquet") for name in self.batch_pairs(batch)
            ]
        if judge := self.online_judge(batch):
            inputs["texts"] = [self.results(f"pairs/{name}.parquet") for name in self.batch_pairs(batch)]
            inputs["judge"] = [judge["artefact"]] if judge["artefact"] else []
        if method.gamma_of:
            inputs["gamma_of"] = [self.results(f"policies/{batch}") for batch in self.batches_of(method.gamma_of)]
        return inputs

    def training_runs(self, batch: str) -> list[dict[str, Any]]:
        """What one training job does: per run its experiment, seed, mix, starting point and resolved training options.

        ``model`` is where the run starts and what it is held against; ``reference`` and ``rewards`` are what was computed with it.
        """
        return [self._training_run(name, seed) for name, seed in self.trained[batch]]

    def _training_run(self, name: str, seed: int) -> dict[str, Any]:
        experiment = self.config.experiments[name]
        start, method = self.start(name, seed), str(experiment.method)
        pairs = self.config.mixes[str(experiment.mix)].pairs
        reads = method_of(self.config, method).needs_reward
        reward = self.config.methods[method].reward
        return {
            "experiment": name,
            "seed": seed,
            "mix": self.results(f"mixes/{experiment.mix}.parquet"),
            "model": self.model_spec(start),
            "reference": [self.results(f"reference/{start}/{table}.parquet") for table in pairs],
            "rewards": [self.results(f"reference/{start}/{reward}/{table}.parquet") for table in pairs]
            if reads
            else [],
            "training": training_of(self.config, experiment).model_dump(exclude=set(LAUNCH)),
        }

    def batch_pairs(self, batch: str) -> list[str]:
        """Pair tables in the mixes of a training job."""
        mixes = [self.config.mixes[str(experiment.mix)] for experiment in self.batch_experiments(batch).values()]
        return sorted({name for mix in mixes for name in mix.pairs})

    def method_options(self, batch: str) -> dict[str, Any]:
        """Every option of the method of a training job."""
        return asdict(method_of(self.config, self.batch_method(batch)))

    def online_judge(self, batch: str) -> dict[str, Any] | None:
        """The judge of a training job's online pairs, where it is not the reward, see :meth:`judge_spec`."""
        name = method_of(self.config, self.batch_method(batch)).online.judge
        return None if name == REWARD_JUDGE else self.judge_spec(name)

    def launch(self, experiment: str) -> dict[str, Any]:
        """How an experiment's runs are carried out: engine, processes, nodes, checkpoints."""
        return training_of(self.config, self.config.experiments[experiment]).model_dump(include=set(LAUNCH))

    def batch_nodes(self, batch: str) -> int:
        """Nodes of a cluster that a training job needs at a time."""
        return max(self.launch(name)["nodes"] for name in self.batch_experiments(batch))

    def batch_processes(self, batch: str) -> int:
        """Processes, and on a cluster GPUs, that a training job needs at a time on each node."""
        experiments = self.batch_experiments(batch).values()
        return max(training_of(self.config, experiment).launch.per_node for experiment in experiments)

    def source_inputs(self, name: str) -> dict[str, Any]:
        """What a source of token rewards reads beside annotated pairs: the model, and for ``implicit`` a policy."""
        source = self.config.token_rewards[name]
        inputs: dict[str, Any] = {"model": self.model_files(source.model)}
        if source.experiment:
            inputs["policy"] = self.results(f"policies/{self.batches_of(source.experiment)[0]}")
        return inputs

    def source_policy(self, name: str) -> dict[str, Any] | None:
        """How to load the policy that ``implicit`` token rewards are read from: the experiment's first seed, its last step."""
        source = self.config.token_rewards[name]
        if not source.experiment:
            return None
        experiment = self.config.experiments[source.experiment]
        first = self.policies(self.batches_of(source.experiment)[0])
        of_seed = [
            item for item in first if (item["experiment"], item["seed"]) == (source.experiment, experiment.first_seed)
        ]
        return dict(of_seed[-1]["model"])
