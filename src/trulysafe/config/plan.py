"""What the rules need to know of a configuration: where things lie, what they are made of, which work forms a job."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from functools import cached_property
from typing import Any, TypeVar

from trulysafe.config.dependencies import builds_on
from trulysafe.config.load import method_of, training_of
from trulysafe.config.rounds import Policy, kept_steps, rounds, seeds, start_policy, states_policy
from trulysafe.config.tables import LAUNCH, Configuration, EndpointLlm, Experiment, LocalLlm, RewardAblation
from trulysafe.methods import REWARD_JUDGE
from trulysafe.resources import size_class

UNTRAINED = "untrained."
Item = TypeVar("Item")
PACE = ("concurrency", "timeout", "attempts", "first_wait")
"""Options of a language model that decide how fast it is asked, never what it says."""


class Plan:
    """Paths, inputs and batches of one scenario.

    Args:
        config: the checked configuration.
    """

    def __init__(self, config: Configuration) -> None:
        self.config = config

    def results(self, path: str) -> str:
        """Path of something that this scenario makes."""
        return f"results/{self.config.scenario}/{path}"

    def datasets(self, names: Iterable[str]) -> list[str]:
        """Tables of datasets."""
        return [self.results(f"data/{name}.parquet") for name in names]

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
        from trulysafe.data import SOURCES

        dataset = self.config.datasets[name]
        return str(dataset.options.get("repo") or SOURCES[dataset.kind].repo)

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
    def fetched(self) -> list[str]:
        """Records of everything that is fetched from the hub."""
        models = [path for name in self.hub_models for path in self.model_files(name)]
        return [*models, *(path for name in self.hub_datasets for path in self.dataset_files(name))]

    def model_spec(self, name: str) -> dict[str, Any]:
        """How to load a model, or a policy that others build on (:mod:`trulysafe.models`)."""
        if name in self.named_policies:
            return self._policy_spec(self.named_policies[name])
        model = self.config.models[name]
        if model.source == "train":
            return {"source": self.results(f"models/{name}"), "dtype": model.dtype}
        return {
            "source": model.name,
            "revision": model.revision,
            "chat_template": model.chat_template,
            "dtype": model.dtype,
        }

    def model_of(self, start: str) -> str:
        """The model behind a model or a policy that others build on."""
        policy = self.named_policies.get(start)
        return self.config.experiments[policy.experiment].model if policy else start

    def size(self, name: str) -> str:
        """Size class of a model, or of a policy that others build on (:mod:`trulysafe.resources`)."""
        model = self.config.models[self.model_of(name)]
        return model.size if model.source == "train" else size_class(model.name, model.size)

    def labeller_files(self, name: str | None) -> list[str]:
        """The artefact of a labeller, then the model that it asks; nothing where labels come with the data."""
        if not name or name not in self.made_labellers:
            return []
        return [self.results(f"labellers/{name}"), *self.llm_files(self.config.labellers[name].llm)]

    @cached_property
    def made_labellers(self) -> list[str]:
        """Labellers with an artefact: all but those whose labels come with the data."""
        return [name for name, labeller in self.config.labellers.items() if labeller.kind != "released"]

    @property
    def labelled_pools(self) -> dict[str, str]:
        """Pools whose prompts a labeller labels: pool -> labeller."""
        return {name: pool.labeller for name, pool in self.config.pools.items() if pool.labeller}

    def asked_llm(self, labeller: str | None) -> str | None:
        """The language model that a labeller asks."""
        return self.config.labellers[labeller].llm if labeller else None

    def llm_files(self, name: str | None) -> list[str]:
        """What to wait for before a language model can be asked: a model that a rule trains."""
        llm = self.config.llms[name] if name else None
        return self.model_files(llm.model) if isinstance(llm, LocalLlm) else []

    def llm_options(self, name: str | None) -> dict[str, Any]:
        """What of a language model decides answers; where an endpoint is and how fast it is asked are left out."""
        if not name:
            return {}
        llm = self.config.llms[name]
        options = {"name": name, "model": llm.name if isinstance(llm, EndpointLlm) else self.model_spec(llm.model)}
        return options | llm.model_dump(exclude={"name", "model", "base_url", "key_variable", *PACE})

    def pool_shards(self, pool: str, pattern: str) -> list[str]:
        """All shards of a pool; their number is in the path, so that changing it never mixes old shards with new ones."""
        count = self.config.pools[pool].shards
        return [self.results(f"pools/{pool}/{pattern}").format(shard=shard, shards=count) for shard in range(count)]

    def rerank_inputs(self, name: str) -> dict[str, Any]:
        """Samples and states of the pool that a re-ranked pair table ranks, and the reward that ranks them."""
        pairs = self.config.pairs[name]
        pool, reward = str(pairs.pool), str(pairs.reward)
        pooling, policy = self.config.rewards[reward].pooling, states_policy(self.config, name)
        place = "states" if policy is None else f"policy_states/{policy}"
        return {
            "samples": self.pool_shards(pool, "samples/{shard}-of-{shards}.parquet"),
            "states": self.pool_shards(pool, f"{place}/{pooling}/{{shard}}-of-{{shards}}"),
            "reward": self.results(f"rewards/{reward}/model"),
            "model": self.model_files(pairs.model),
        }

    @cached_property
    def named_policies(self) -> dict[str, Policy]:
        """Policies that pairs or experiments build on, by their name in paths."""
        ranking = [states_policy(self.config, name) for name in self.config.pairs]
        starts = [start_policy(self.config, name, seed) for runs in self.trained.values() for name, seed in runs]
        return {str(policy): policy for policy in [*ranking, *starts] if policy is not None}

    def pair_work(self) -> dict[str, dict[str, Any]]:
        """What led to each trained arm's policies: trainings with their steps, number of rounds, jobs that made its pairs.

        A job is (kind, its output, its benchmark file). Arms that sample online have none.
        """
        found: dict[str, dict[str, Any]] = {}
        before = builds_on(self.config)
        for name, experiment in self.config.experiments.items():
            if experiment.method is None:
                continue
            chain, left = [name], [name]
            while left:
                earlier = sorted(before[left.pop()] - set(chain))
                chain, left = [*chain, *earlier], [*left, *earlier]
            steps = {item: training_of(self.config, self.config.experiments[item]).steps for item in chain}
            online = [item for item in chain if self._online(item)]
            tables = _distinct(table for item in chain if item not in online for table in self._reranked(item))
            jobs = _distinct(job for item in chain if item not in online for job in self._pair_jobs(item))
            found[name] = {"trained": steps, "rounds": len(tables), "online": self._online(name), "jobs": jobs}
        return found

    def _online(self, experiment: str) -> bool:
        return method_of(self.config, str(self.config.experiments[experiment].method)).online.samples > 0

    def _reranked(self, experiment: str) -> list[str]:
        """Re-ranked pair tables in an experiment's mix."""
        tables = self.config.mixes[str(self.config.experiments[experiment].mix)].pairs
        return [name for name in tables if self.config.pairs[name].source == "rerank"]

    def _pair_jobs(self, experiment: str) -> list[tuple[str, str, str]]:
        """Jobs behind the re-ranked pairs of an experiment's first seed."""
        start, found = self.start(experiment, self.config.experiments[experiment].first_seed), []
        for name in self._reranked(experiment):
            inputs = self.rerank_inputs(name)
            found += [("sampling", path, self._timing(path, "sample")) for path in inputs["samples"]]
            rule = "pool_states" if self.config.pairs[name].states_from is None else "policy_states"
            found += [("states", path, self._timing(path, rule)) for path in inputs["states"]]
            found.append(
                ("ranking", self.results(f"pairs/{name}.parquet"), self.results(f"benchmarks/rerank/{name}.tsv"))
            )
            place = f"reference/{start}/{name}"
            found.append(("reference", self.results(f"{place}.parquet"), self.results(f"benchmarks/{place}.tsv")))
        return found

    def _timing(self, output: str, rule: str) -> str:
        """Benchmark file of a shard of a pool: ``pools/<pool>/<table>/<rest>`` is timed as ``<rule>/<pool>/<rest>``."""
        pool, _, *rest = output.removeprefix(self.results("pools/")).removesuffix(".parquet").split("/")
        return self.results(f"benchmarks/{rule}/{pool}/{'/'.join(rest)}.tsv")

    def rewards_on_policies(self) -> list[str]:
        """Measures of a reward on the states of each policy that it ranks a pool with."""
        return sorted(
            self.results(f"rewards/{reward}/on/{policy}.json")
            for reward in self.config.rewards
            for policy in self.policies_ranked_by(reward)
        )

    @cached_property
    def reward_ablations(self) -> dict[str, dict[str, Any]]:
        """Comparisons of rewards: name -> ``choice``, ``primary``, ``a`` and ``b``, which :meth:`compared_rewards` makes."""
        return {
            name: {"choice": item.choice, "primary": item.primary, "a": _fitted_as(item), "b": item.default}
            for name, item in self.config.report.reward_ablations.items()
        }

    @cached_property
    def compared_rewards(self) -> dict[str, dict[str, dict[str, Any]]]:
        """What is fitted to compare rewards: reward whose states are read -> name of the fit -> ``options`` and ``baseline``."""
        found: dict[str, dict[str, dict[str, Any]]] = {}
        for item in self.config.report.reward_ablations.values():
            for states, name, fit, baseline in (
                (item.default, item.default, {}, None),
                (item.reward or item.default, _fitted_as(item), item.fit or {}, item.baseline),
            ):
                reward = self.config.rewards[states]
                options = {"fit": {**reward.fit, **fit}, "test_share": reward.test_share, "seed": reward.seed}
                found.setdefault(states, {})[name] = {"options": options, "baseline": baseline}
        return found

    def policies_ranked_by(self, reward: str) -> set[Policy]:
        """Policies on whose states a reward ranks a pool."""
        ranking = [name for name, pairs in self.config.pairs.items() if pairs.reward == reward]
        return {policy for name in ranking if (policy := states_policy(self.config, name)) is not None}

    def first_round_pairs(self) -> list[str]:
        """Pair tables that exist before any training."""
        return [name for name, pairs in self.config.pairs.items() if pairs.states_from is None]

    def later_pools(self) -> list[str]:
        """Prompts of the pools that later rounds rank again."""
        pools = {str(pairs.pool) for pairs in self.config.pairs.values() if pairs.states_from is not None}
        return [self.results(f"pools/{pool}/prompts.parquet") for pool in sorted(pools)]

    def pairs_from(self, source: str) -> list[str]:
        """Pair tables of a source (``annotated`` or ``rerank``)."""
        return [name for name, pairs in self.config.pairs.items() if pairs.source == source]

    def reward_identity(self, name: str | None) -> dict[str, Any]:
        """What a saved reward says about its base model; whatever reads the reward checks it."""
        if name is None:
            return {}
        reward = self.config.rewards[name]
        model = self.config.models[reward.model]
        known = {"base_model": reward.model, "pooling": reward.pooling}
        return known if model.source == "train" else {**known, "name": model.name, "revision": model.revision}

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

    def answer_shards(self, batch: str, table: str = "answers") -> list[str]:
        """Answers of a batch, or their verdicts; the number of shards is in the path, as in :meth:`pool_shards`."""
        count = self.config.batching.answer_shards
        return [self.results(f"{table}/{batch}/{shard}-of-{count}.parquet") for shard in range(count)]

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

    @cached_property
    def arms(self) -> dict[str, dict[str, Any]]:
        """Experiments as tables and figures show them, untrained ones first: label, group, and where there are any, ``base`` and ``start``."""
        further = {"base": self.bases, "start": self.starts}
        untrained_first = sorted(self.config.experiments.items(), key=lambda item: item[1].method is not None)
        return {
            name: {"label": item.label or name, "group": item.group}
            | {key: known[name] for key, known in further.items() if name in known}
            for name, item in untrained_first
        }

    def batch_experiments(self, batch: str) -> dict[str, Experiment]:
        """Experiments of a training job."""
        return {name: self.config.experiments[name] for name, _ in self.trained[batch]}

    def batch_model(self, batch: str) -> str:
        """The model that a training job starts from."""
        return next(iter(self.batch_experiments(batch).values())).model

    def answering_model(self, batch: str) -> str:
        """The model behind a batch of answers, trained or as it is."""
        return self.untrained[batch] if batch in self.untrained else self.batch_model(batch)

    def batch_method(self, batch: str) -> str:
        """The method of a training job."""
        return str(next(iter(self.batch_experiments(batch).values())).method)

    def training_inputs(self, batch: str) -> dict[str, Any]:
        """Mixes, starting points, reference and, for methods that read one, reward of a training job."""
        runs, method = self.training_runs(batch), self.config.methods[self.batch_method(batch)]
        inputs: dict[str, Any] = {
            "mixes": _distinct(run["mix"] for run in runs),
            "reference": _distinct(path for run in runs for path in run["reference"]),
            "model": _distinct(
                path for name, seed in self.trained[batch] for path in self.model_files(self.start(name, seed))
            ),
        }
        if rewards := _distinct(path for run in runs for path in run["rewards"]):
            inputs["reward"] = self.results(f"rewards/{method.reward}/model")
            inputs["rewards"] = rewards
        if method.token_rewards:
            inputs["token_rewards"] = self.results(f"token_rewards/{method.token_rewards}")
            inputs["token_values"] = [
                self.results(f"token_values/{method.token_rewards}/{name}.parquet") for name in self._batch_pairs(batch)
            ]
        if judge := self.online_judge(batch):
            inputs["texts"] = [self.results(f"pairs/{name}.parquet") for name in self._batch_pairs(batch)]
            inputs["judge"] = [judge["artefact"]] if judge["artefact"] else []
        if method.gamma_of:
            inputs["gamma_of"] = [self.results(f"policies/{batch}") for batch in self.batches_of(method.gamma_of)]
        return inputs

    @property
    def ablation_batches(self) -> list[str]:
        """Batches that hold the arms and defaults of the ablations."""
        named = {name for item in self.config.report.ablations.values() for name in (item.arm, item.default)}
        untrained = [batch for batch in self.untrained if batch.removeprefix(UNTRAINED) in named]
        return [*untrained, *(batch for batch, runs in self.trained.items() if named & {name for name, _ in runs})]

    def method_options(self, batch: str) -> dict[str, Any]:
        """Every option of the method of a training job."""
        return asdict(method_of(self.config, self.batch_method(batch)))

    def online_judge(self, batch: str) -> dict[str, Any] | None:
        """The judge of a training job's online pairs, where it is not the reward: kind, options, and the folder of its fit."""
        name = method_of(self.config, self.batch_method(batch)).online.judge
        if name == REWARD_JUDGE:
            return None
        judge = self.config.judges[name]
        artefact = self.results(f"judges/{name}") if judge.datasets else None
        return {"kind": judge.kind, "options": dict(judge.options), "artefact": artefact}

    def batches_of(self, experiment: str) -> list[str]:
        """Training jobs that hold runs of an experiment."""
        return [batch for batch, runs in self.trained.items() if any(name == experiment for name, _ in runs)]

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

    def training_runs(self, batch: str) -> list[dict[str, Any]]:
        """What one training job does: per run its experiment, seed, mix, starting point and resolved training options.

        ``model`` is where the run starts and what it is held against; ``reference`` and ``rewards`` are what was computed with it.
        """
        return [self._training_run(name, seed) for name, seed in self.trained[batch]]

    @cached_property
    def followed(self) -> dict[str, list[dict[str, Any]]]:
        """Policies whose order and distribution are measured, by training job."""
        wanted = set(self.config.drift.experiments) if self.config.drift else set()
        found = {batch: [one for one in self.policies(batch) if one["experiment"] in wanted] for batch in self.trained}
        return {batch: policies for batch, policies in found.items() if policies}

    def drift_inputs(self, batch: str) -> dict[str, Any]:
        """What is read to follow the policies of a training job."""
        drift = self.config.drift
        if drift is None:
            return {}
        return {
            "policies": self.results(f"policies/{batch}"),
            "samples": self.pool_shards(drift.pool, "samples/{shard}-of-{shards}.parquet"),
            "model": self.model_files(self.config.pools[drift.pool].model),
            "datasets": self.datasets(self.config.benchmarks[drift.benchmark].datasets),
            "split": self.results("data/split.parquet"),
        }

    def drift_options(self) -> dict[str, Any]:
        """How policies are followed: numbers of prompts and samples, decoding, benchmark and judge."""
        drift = self.config.drift
        if drift is None:
            return {}
        pool, benchmark = self.config.pools[drift.pool], self.config.benchmarks[drift.benchmark]
        judge = self.config.judges[benchmark.judges[0]]
        return {
            "reference": self.model_spec(pool.model),
            "prompts": drift.prompts,
            "fresh_prompts": drift.fresh_prompts,
            "decoding": {
                "samples": drift.fresh_samples,
                **pool.model_dump(include={"temperature", "top_k", "top_p", "repetition_penalty", "max_new_tokens"}),
            },
            "block": pool.block,
            "seed": pool.seed,
            "risks": benchmark.risks,
            "judge": {"kind": judge.kind, "options": judge.options},
        }

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

    def _batch_pairs(self, batch: str) -> list[str]:
        """Pair tables in the mixes of a training job."""
        mixes = [self.config.mixes[str(experiment.mix)] for experiment in self.batch_experiments(batch).values()]
        return sorted({name for mix in mixes for name in mix.pairs})

    def start(self, name: str, seed: int) -> str:
        """Name of the model or policy that a run starts from."""
        return str(start_policy(self.config, name, seed) or self.config.experiments[name].model)

    def _batch_of(self, policy: Policy) -> str:
        return next(batch for batch, runs in self.trained.items() if (policy.experiment, policy.seed) in runs)

    def _policy_spec(self, policy: Policy) -> dict[str, Any]:
        place = f"policies/{self._batch_of(policy)}/{policy.experiment}/seed{policy.seed}/step{policy.step}"
        model = self.config.models[self.config.experiments[policy.experiment].model]
        return {"source": self.results(place), "dtype": model.dtype}

    def kept_tokens_inputs(self) -> dict[str, Any]:
        """What the figure of kept tokens is drawn from: pairs, their token ids, values and constants of the token rewards."""
        shown = self.config.report.kept_tokens
        if shown is None:
            return {}
        model, method = self.config.pairs[shown.pairs].model, self.config.methods[shown.method]
        if method.token_rewards:
            source = self.results(f"token_rewards/{method.token_rewards}")
            values = self.results(f"token_values/{method.token_rewards}/{shown.pairs}.parquet")
        else:
            source = self.results(f"rewards/{method.reward}/model")
            values = self.results(f"reference/{model}/{method.reward}/{shown.pairs}.parquet")
        return {
            "pairs": self.results(f"pairs/{shown.pairs}.parquet"),
            "reference": self.results(f"reference/{model}/{shown.pairs}.parquet"),
            "values": values,
            "source": source,
            "model": self.model_files(model),
        }

    @property
    def kept_tokens_model(self) -> dict[str, Any] | None:
        """How to load the tokenizer of the pairs that the figure of kept tokens shows."""
        shown = self.config.report.kept_tokens
        return self.model_spec(self.config.pairs[shown.pairs].model) if shown else None

    @property
    def kept_tokens_mask(self) -> dict[str, Any] | None:
        """Options of the mask that the figure of kept tokens shows."""
        shown = self.config.report.kept_tokens
        return asdict(method_of(self.config, shown.method))["mask"] if shown else None

    def launch(self, experiment: str) -> dict[str, Any]:
        """How an experiment's runs are carried out: engine, processes, nodes, checkpoints."""
        return training_of(self.config, self.config.experiments[experiment]).model_dump(include=set(LAUNCH))

    def batch_nodes(self, batch: str) -> int:
        """Nodes of a cluster that a training job needs at a time."""
        return max(self.launch(name)["nodes"] for name in self.batch_experiments(batch))

    def batch_processes(self, batch: str) -> int:
        """Processes, and on a cluster GPUs, that a training job needs at a time on each node."""
        launches = [self.launch(name) for name in self.batch_experiments(batch)]
        return max(launch["processes"] // launch["nodes"] for launch in launches)

    def policy_inputs(self, batch: str) -> dict[str, Any]:
        """What must be there before a batch of policies can answer."""
        if batch in self.untrained:
            return {"model": self.model_files(self.untrained[batch])}
        return {"policies": self.results(f"policies/{batch}")}

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


def _distinct(paths: Iterable[Item]) -> list[Item]:
    """Each path, or other item, once, in the order of first appearance."""
    return list(dict.fromkeys(paths))


def _fitted_as(item: RewardAblation) -> str:
    """Name of the other side of a comparison of rewards."""
    changed = ", ".join(f"{key}: {value}" for key, value in (item.fit or {}).items())
    return item.reward or f"{item.default}, {item.baseline or changed}"
