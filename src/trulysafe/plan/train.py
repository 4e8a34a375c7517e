"""What a training job reads and does."""

import math
from typing import Any

from trulysafe.config.resolved import method_of, training_of, with_seeds
from trulysafe.config.tables.training import LAUNCH, MethodTable
from trulysafe.methods.method import PPO
from trulysafe.methods.sampled import REWARD_JUDGE
from trulysafe.plan.paths import Part, distinct
from trulysafe.plan.resources import SIZES


class Train(Part):
    """Training jobs: inputs, runs, method, how they are carried out."""

    def inputs(self, job: str) -> dict[str, Any]:
        """Mixes, starting points and what the method reads (reference, reward, cost, texts) of a training job."""
        runs, method = self.runs(job), self.table(job)
        starts = [self.plan.policies.start(name, seed) for name, seed in self.plan.policies.trained[job]]
        inputs: dict[str, Any] = {
            "mixes": distinct(run["mix"] for run in runs),
            "model": distinct(path for start in starts for path in self.plan.models.files(start)),
        }
        asked = method_of(self.config, self.plan.policies.method(job))
        if reference := distinct(path for run in runs for path in run["reference"]):
            inputs["reference"] = reference
        if asked.needs_reward:
            inputs["reward"] = self.results(f"rewards/{method.reward}/model")
        if asked.ppo.lagrangian:
            inputs["cost"] = self.results(f"rewards/{asked.ppo.lagrangian.cost}/model")
        if asked.online.reward_model and (files := self.plan.models.files(asked.online.reward_model)):
            inputs["reward_model"] = files
        if rewards := distinct(path for run in runs for path in run["rewards"]):
            inputs["rewards"] = rewards
        if method.token_rewards:
            inputs["token_rewards"] = self.results(f"token_rewards/{method.token_rewards}")
            values = f"token_values/{method.token_rewards}"
            inputs["token_values"] = [self.results(f"{values}/{name}.parquet") for name in self.pairs(job)]
        judges = self.judges(job)
        if judges or asked.online.reward_model or asked.loss == PPO:
            inputs["texts"] = [self.results(f"pairs/{name}.parquet") for name in self.pairs(job)]
        if judges:
            inputs["judge"] = self.plan.evaluate.judge_files(judges)
        if method.gamma_of:
            others = self.plan.policies.jobs_of(method.gamma_of)
            inputs["gamma_of"] = [self.results(f"policies/{other}") for other in others]
        return inputs

    def runs(self, job: str) -> list[dict[str, Any]]:
        """What one training job does: per run its experiment, seed, mix, starting point and resolved training options.
        ``model`` is where the run starts and what it is held against, and made ``reference`` and ``rewards``."""
        return [self._run(name, seed) for name, seed in self.plan.policies.trained[job]]

    def _run(self, name: str, seed: int) -> dict[str, Any]:
        experiment = self.config.experiments[name]
        start, method = self.plan.policies.start(name, seed), str(experiment.method)
        tables = self.config.mixes[str(experiment.mix)].pairs
        reward = self.config.methods[method].reward
        asked = method_of(self.config, method)
        held = [] if asked.loss == PPO else tables  # PPO reads prompts and its own samples
        read = held if asked.needs_reward else []
        return {
            "experiment": name,
            "seed": seed,
            "mix": self.results(f"mixes/{experiment.mix}.parquet"),
            "model": self.plan.models.spec(start),
            "reference": [self.results(f"reference/{start}/{table}.parquet") for table in held],
            "rewards": [self.results(f"reference/{start}/{reward}/{table}.parquet") for table in read],
            "training": training_of(self.config, experiment).model_dump(exclude=set(LAUNCH)),
        }

    def pairs(self, job: str) -> list[str]:
        """Pair tables in the mixes of a training job."""
        mixes = [self.config.mixes[str(experiment.mix)] for experiment in self.plan.policies.experiments(job).values()]
        return sorted({name for mix in mixes for name in mix.pairs})

    def method(self, job: str) -> dict[str, Any]:
        """Every option of the method of a training job."""
        return method_of(self.config, self.plan.policies.method(job)).model_dump()

    def table(self, job: str) -> MethodTable:
        """The configuration's table of the method of a training job: its ``reward``, ``gamma_of``, token rewards."""
        return self.config.methods[self.plan.policies.method(job)]

    def judge(self, job: str) -> dict[str, Any] | None:
        """The judge of a training job's samples, where it is not the reward: how to open it."""
        return next((self.plan.evaluate.judge(name, beside=True) for name in self.judges(job)), None)

    def judges(self, job: str) -> list[str]:
        """Name of that judge, if there is one."""
        name = method_of(self.config, self.plan.policies.method(job)).online.judge
        return [] if name == REWARD_JUDGE else [name]

    def beside(self, job: str) -> dict[str, Any]:
        """What else judges a training job's samples: ``reward_model``, how to load a sequence reward model, and
        ``cost_identity``, what the reward that a cost is read from must say of its base model."""
        method = method_of(self.config, self.plan.policies.method(job))
        found: dict[str, Any] = {}
        if name := method.online.reward_model:
            found["reward_model"] = self.plan.models.spec(name) | {"batch_size": self.config.batching.forward_batch}
        if method.ppo.lagrangian:
            found["cost_identity"] = self.plan.reward.identity(method.ppo.lagrangian.cost)
        return found

    def card(self, experiment: str) -> dict[str, Any]:
        """What the model cards of an experiment's policies say and its trainings do not read: names, and where model
        and pairs come from (:mod:`trulysafe.workflow.model_card`)."""
        item, config = self.config.experiments[experiment], self.config
        mix = config.mixes[str(item.mix)]
        tables = {name: config.pairs[name] for name in mix.pairs}
        given = {name: config.pools[str(of.pool)].datasets if of.pool else of.datasets for name, of in tables.items()}
        behind = {name: distinct(with_seeds(config, datasets)) for name, datasets in given.items()}
        repos = {name: getattr(config.datasets[name].options, "repo", "") for of in behind.values() for name in of}
        sources = []
        for name, of in tables.items():
            made = f"samples of `{of.pool}`, ranked by the reward `{of.reward}`" if of.pool else "annotated pairs"
            named = [f"`{known}`" + (f" ({repos[known]})" if repos[known] else "") for known in behind[name]]
            sources.append(f"`{name}`: {made}, from {', '.join(named)}")
        start = item.start_from and f"{item.start_from.experiment}, step {item.start_from.step or 'last'}"
        return {
            "scenario": config.scenario,
            "label": item.label or experiment,
            "method": str(item.method),
            "model": self.plan.models.origin(item.model),
            "start": start,
            "mix": str(item.mix),
            "rule": mix.rule,
            "reranked": any(of.pool for of in tables.values()),
            "sources": sources,
            "hub_datasets": distinct(repo for repo in repos.values() if repo),
        }

    def launch(self, experiment: str) -> dict[str, Any]:
        """How an experiment's runs are carried out: engine, processes, nodes, checkpoints."""
        return training_of(self.config, self.config.experiments[experiment]).model_dump(include=set(LAUNCH))

    def nodes(self, job: str) -> int:
        """Nodes of a cluster that a training job needs at a time."""
        return max(self.launch(name)["nodes"] for name in self.plan.policies.experiments(job))

    def offloaded_gb(self, job: str) -> int:
        """Memory of each node for what DeepSpeed keeps there in place of the GPUs', GB, by the model's size class."""
        billions = min(SIZES[self.plan.models.size(self.plan.policies.model(job))], 70.0)
        asked = [training_of(self.config, item) for item in self.plan.policies.experiments(job).values()]
        of_weight = [(item.launch.offloaded_bytes(adapter=item.lora is not None), item.nodes) for item in asked]
        return max(math.ceil(size * billions / nodes) for size, nodes in of_weight)

    def threads(self, job: str) -> int:
        """Processor threads of a training job: tiny models train side by side, others one after another, which spares
        memory."""
        asked = [self.launch(name)["threads"] for name in self.plan.policies.experiments(job)]
        usual = 1 if self.plan.models.size(self.plan.policies.model(job)) == "tiny" else 2
        return max(number or usual for number in asked)

    def processes(self, job: str) -> int:
        """Processes, and on a cluster GPUs, that a training job needs at a time on each node."""
        experiments = self.plan.policies.experiments(job).values()
        return max(training_of(self.config, experiment).launch.per_node for experiment in experiments)
