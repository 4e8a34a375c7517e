"""Every job that a run of a configuration does, and the work in it."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

from trulysafe.config.load import method_of, training_of
from trulysafe.config.plan import Plan
from trulysafe.config.rounds import kept_steps, states_policy
from trulysafe.config.tables import Configuration
from trulysafe.cost.assumptions import Assumptions
from trulysafe.cost.rows import Rows
from trulysafe.cost.sizes import Size, size_of

FINAL = (
    "metrics",
    "ablations",
    "reward_ablations",
    "kept_tokens",
    "draw_tables",
    "draw_figures",
    "summarise",
    "costs",
    "merged_config",
)
"""Rules of one job each, at most, that end a run."""


@dataclass(frozen=True)
class Job:
    """One job and its work; without a model it is a job for a CPU.

    Attributes:
        rule: Snakemake rule.
        model: size of the model that it loads.
        loads: how often a model is loaded.
        forward_tokens: tokens through forward passes, prompts of generations included.
        steps: decoding steps, one after another.
        sequences: sequences decoded side by side in a step.
        trained_tokens: tokens through training steps.
        flops_per_token: of training, in units of the number of weights (6 for all weights, 4 for an adapter, 2 more with checkpointing).
        trains: share of the weights that is trained.
        disk: bytes that stay.
    """

    rule: str
    model: Size | None = None
    loads: float = 1
    forward_tokens: float = 0
    steps: float = 0
    sequences: float = 0
    trained_tokens: float = 0
    flops_per_token: int = 6
    trains: float = 0
    disk: float = 0


class Jobs:
    """The jobs of one configuration.

    Args:
        config: the checked configuration.
        assumptions: what is not known of it.

    Raises:
        UserError: the size of a model is not known.
    """

    def __init__(self, config: Configuration, assumptions: Assumptions) -> None:
        self.config, self.plan, self.assumptions = config, Plan(config), assumptions
        self.rows = Rows(config, assumptions)
        self.size = cache(lambda name: size_of(config, name))

    def all(self) -> list[Job]:
        """All jobs, stage by stage."""
        stages = (self._data(), self._models(), self._pools(), self._rewards(), self._pairs(), self._training())
        return [job for stage in (*stages, self._evaluation()) for job in stage]

    @property
    def _pools_used(self) -> list[str]:
        followed = [self.config.drift.pool] if self.config.drift and self.plan.followed else []
        ranked = [str(pairs.pool) for pairs in self.config.pairs.values() if pairs.source == "rerank"]
        return list(dict.fromkeys([*ranked, *followed]))

    @property
    def _models_used(self) -> set[str]:
        config = self.config
        named = {item.model for item in config.rewards.values()} | {item.model for item in config.pairs.values()}
        named |= {item.model for item in config.experiments.values()}
        return named | {config.pools[name].model for name in self._pools_used}

    @property
    def _mixes_used(self) -> set[str]:
        return {str(item.mix) for item in self.config.experiments.values() if item.method is not None}

    def _data(self) -> Iterator[Job]:
        for name in self.plan.hub_datasets:
            yield Job("prefetch_dataset", disk=self.rows.dataset(name) * self._text(1))
        for name in self.config.datasets:
            yield Job("normalise", disk=self.rows.dataset(name) * self._text(1))
        yield Job("split")
        if self._mixes_used:
            yield Job("leakage")

    def _models(self) -> Iterator[Job]:
        for name in sorted(self._models_used):
            model = self.config.models[name]
            if model.source == "hub":
                yield Job("prefetch_model", disk=self.size(name).bytes)
            if model.source == "train":
                from trulysafe.pretrain import TRAINING

                options = {**TRAINING, **model.training}
                tokens = options["steps"] * options["batch_size"] * options["max_length"]
                yield Job("train_base", self.size(name), 0, trained_tokens=tokens, trains=1, disk=self.size(name).bytes)
        for name in self.config.labellers:
            if self.plan.labeller_files(name):
                yield Job("fit_labeller")

    def _pools(self) -> Iterator[Job]:
        for name in self._pools_used:
            pool, prompts, size = (
                self.config.pools[name],
                self.rows.pool(name),
                self.size(self.config.pools[name].model),
            )
            yield Job("label_prompts")
            ranked = {
                (self.config.rewards[str(item.reward)].pooling, states_policy(self.config, pairs))
                for pairs, item in self.config.pairs.items()
                if item.source == "rerank" and item.pool == name
            }
            blocks = [len(range(shard, math.ceil(prompts / pool.block), pool.shards)) for shard in range(pool.shards)]
            for count in blocks:
                rows = min(count * pool.block, prompts) * pool.samples
                length = self.assumptions.prompt_tokens + self.assumptions.response_fill * pool.max_new_tokens
                yield Job(
                    "sample", size, forward_tokens=rows * self.assumptions.prompt_tokens, steps=count * pool.max_new_tokens,
                    sequences=pool.block * pool.samples, disk=rows * length * self.assumptions.bytes_per_token,
                )  # fmt: skip
                for _, policy in ranked:
                    rule = "pool_states" if policy is None else "policy_states"
                    yield Job(rule, size, forward_tokens=rows * length, disk=rows * _state(size))

    def _rewards(self) -> Iterator[Job]:
        for name, reward in self.config.rewards.items():
            size, sides = self.size(reward.model), 2 * self.rows.reward(name)
            states = sides * (1 + reward.token_positions)
            passes = 2 if reward.token_positions else 1
            length = self.assumptions.prompt_tokens + self.assumptions.response_fill * 256
            yield Job("reward_states", size, forward_tokens=sides * passes * length, disk=states * _state(size))
            yield Job("fit_reward", disk=2 * size.layers * (size.width + size.layers) * 4)
            yield Job("analyse_layers")
            for _ in self.plan.policies_ranked_by(name):
                yield Job("reward_on_policy", size, forward_tokens=sides * reward.test_share * length)

    def _pairs(self) -> Iterator[Job]:
        for name, pairs in self.config.pairs.items():
            rule = "rerank" if pairs.source == "rerank" else "annotated_pairs"
            yield Job(rule, disk=self._pair_tokens(name) * self.assumptions.bytes_per_token)
        for _ in self._mixes_used:
            yield Job("mix")

    def _training(self) -> Iterator[Job]:
        references, rewards = set[tuple[str, str]](), set[tuple[str, str, str]]()
        for batch in self.plan.trained:
            method = self.plan.batch_method(batch)
            for experiment, seed in self.plan.trained[batch]:
                start = self.plan.start(experiment, seed)
                tables = self.config.mixes[str(self.config.experiments[experiment].mix)].pairs
                references |= {(start, name) for name in tables}
                if method_of(self.config, method).needs_reward:
                    rewards |= {(start, str(self.config.methods[method].reward), name) for name in tables}
        if shown := self.config.report.kept_tokens:
            model, method_table = self.config.pairs[shown.pairs].model, self.config.methods[shown.method]
            references.add((model, shown.pairs))
            if not method_table.token_rewards:
                rewards.add((model, str(method_table.reward), shown.pairs))
        for start, name in sorted(references):
            tokens, size = self._pair_tokens(name), self.size(self.plan.model_of(start))
            yield Job("reference", size, forward_tokens=tokens, disk=tokens * (8 + 8))
        for start, _, name in sorted(rewards):
            tokens, size = self._pair_tokens(name), self.size(self.plan.model_of(start))
            yield Job("read_rewards", size, forward_tokens=tokens, disk=tokens * 8)
        yield from self._token_rewards()
        for batch in self.plan.trained:
            yield self._train(batch)
        for batch in self.plan.followed:
            yield self._follow(batch)
        if self.plan.followed:
            yield Job("order_and_distribution")

    def _follow(self, batch: str) -> Job:
        """Likelihoods of a part of the pool and new samples, of a job's policies and twice of the reference."""
        assert self.config.drift is not None
        drift, pool = self.config.drift, self.config.pools[self.config.drift.pool]
        size, policies, length = self.size(pool.model), self.plan.followed[batch], self._response(pool.max_new_tokens)
        benchmark = self.rows.benchmark(self.config.benchmarks[drift.benchmark], last=True)
        known = min(drift.prompts, self.rows.pool(drift.pool)) * pool.samples
        prompts = min(drift.fresh_prompts, benchmark)
        reads = (len(policies) + 1) * known + (len(policies) + 2) * prompts * drift.fresh_samples
        steps = (len(policies) + 2) * math.ceil(prompts / pool.block) * pool.max_new_tokens
        return Job(
            "pool_likelihoods", size, len(policies) + 1, forward_tokens=reads * length, steps=steps,
            sequences=pool.block * drift.fresh_samples,
        )  # fmt: skip

    def _response(self, limit: int) -> float:
        """Tokens of a prompt and its response."""
        return self.assumptions.prompt_tokens + self.assumptions.response_fill * limit

    def _token_rewards(self) -> Iterator[Job]:
        """Sources of token rewards that a method reads, and what they say of the pairs of its mixes."""
        read = set[tuple[str, str]]()
        for batch in self.plan.trained:
            if source := self.config.methods[self.plan.batch_method(batch)].token_rewards:
                mixes = {str(item.mix) for item in self.plan.batch_experiments(batch).values()}
                read |= {(source, name) for mix in mixes for name in self.config.mixes[mix].pairs}
        shown = self.config.report.kept_tokens
        if shown and (source := self.config.methods[shown.method].token_rewards):
            read.add((source, shown.pairs))
        for name in sorted({source for source, _ in read}):
            source_of, size = self.config.token_rewards[name], self.size(self.config.token_rewards[name].model)
            length = self.assumptions.prompt_tokens + self.assumptions.response_fill * 256
            tokens = 2 * source_of.rows * length
            fitted = source_of.kind == "token_rm"
            yield Job(
                "fit_token_rewards", size, forward_tokens=tokens, trained_tokens=tokens * fitted, trains=float(fitted),
                disk=size.bytes * fitted,
            )  # fmt: skip
        for name, pairs in sorted(read):
            tokens = self._pair_tokens(pairs)
            size = self.size(self.config.token_rewards[name].model)
            yield Job("read_token_rewards", size, forward_tokens=tokens, disk=tokens * 8)

    def _train(self, batch: str) -> Job:
        size, tokens, disk, adapters, flops = self.size(self.plan.batch_model(batch)), 0.0, 0.0, [], 0
        method = method_of(self.config, self.plan.batch_method(batch))
        online, sampled, decoding, side_by_side = method.online, 0.0, 0.0, 0
        for name, _ in self.plan.trained[batch]:
            experiment = self.config.experiments[name]
            training = training_of(self.config, experiment)
            length = max(self._side(table) for table in self.config.mixes[str(experiment.mix)].pairs)
            of_run = training.steps * training.batch_size * training.accumulation * 2 * length
            tokens += of_run
            if (
                method.loss == "kto"
            ):  # the mismatched pairs of each micro-batch; those of the data set, once, are left out
                sampled += of_run
            if (
                online.samples
            ):  # sampled, judged, and the two of each pair read by the reference, as if every prompt were in scope
                micro_batches = training.steps * training.accumulation
                decoding += micro_batches * online.max_new_tokens
                side_by_side = max(side_by_side, training.batch_size * online.samples)
                of_prompt = online.samples * self.assumptions.prompt_tokens
                of_prompt += (online.samples + 2) * self._response(online.max_new_tokens)
                sampled += micro_batches * training.batch_size * of_prompt
            share = self.assumptions.lora_share if training.lora else 1.0
            disk += len(kept_steps(training)) * size.bytes * share
            adapters.append(share)
            flops = max(flops, (4 if training.lora else 6) + (2 if training.gradient_checkpointing else 0))
        runs = len(adapters)
        return Job(
            "train", size, runs, forward_tokens=sampled, steps=decoding, sequences=side_by_side, trained_tokens=tokens,
            flops_per_token=flops, trains=max(adapters), disk=disk,
        )  # fmt: skip

    def _evaluation(self) -> Iterator[Job]:
        for judge in self.config.judges.values():
            if judge.datasets:
                yield Job("fit_judge")
        shards = self.config.batching.answer_shards
        for batch in self.plan.batches:
            answer = self._answer(batch, shards)
            for _ in range(shards):
                yield answer
                yield Job("judge", disk=answer.disk / 10)
        asked = {
            "ablations": bool(self.config.report.ablations),
            "reward_ablations": bool(self.config.report.reward_ablations),
            "kept_tokens": self.config.report.kept_tokens is not None,
        }
        for rule in FINAL:
            if asked.get(rule, True):
                yield Job(rule)

    def _answer(self, batch: str, shards: int) -> Job:
        model = self.plan.untrained.get(batch) or self.plan.batch_model(batch)
        policies, size, block = self.plan.policies(batch), self.size(model), self.config.batching.answer_batch
        steps = prompts = tokens = 0.0
        for policy in policies:
            for benchmark in self.config.benchmarks.values():
                rows = self.rows.benchmark(benchmark, last=policy["last"])
                steps += math.ceil(rows / block) * benchmark.max_new_tokens
                prompts += rows
                tokens += rows * self.assumptions.response_fill * benchmark.max_new_tokens
        loads = min(len(policies), math.ceil(len(policies) / shards) + (shards > 1))
        read = prompts * self.assumptions.prompt_tokens
        stored = (read + tokens) * self.assumptions.bytes_per_token
        return Job(
            "answer",
            size,
            loads,
            forward_tokens=read / shards,
            steps=steps / shards,
            sequences=block,
            disk=stored / shards,
        )

    def _side(self, name: str) -> float:
        return self.config.pairs[name].max_length * self.assumptions.pair_fill

    def _pair_tokens(self, name: str) -> float:
        return 2 * self.rows.pairs(name) * self._side(name)

    def _text(self, rows: float) -> float:
        response = self.assumptions.response_fill * 256
        return rows * (self.assumptions.prompt_tokens + response) * self.assumptions.bytes_per_token


def _state(size: Size) -> float:
    """Bytes of the states of all layers at one position, in float32."""
    return size.layers * size.width * 4
