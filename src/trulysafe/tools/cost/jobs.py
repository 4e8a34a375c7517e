"""Every job that a run of a configuration does, and the work in it."""

from __future__ import annotations

import math
from collections.abc import Iterator

from trulysafe.config.order import states_policy
from trulysafe.tools.cost.training_jobs import TrainingJobs
from trulysafe.tools.cost.work import RESPONSE, Job, state_bytes

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


class Jobs(TrainingJobs):
    """The jobs of one configuration; see :class:`trulysafe.tools.cost.work.Work` for its arguments."""

    def all(self) -> list[Job]:
        """All jobs, stage by stage."""
        stages = (self._data(), self._models(), self._pools(), self._rewards(), self._pairs(), self._training())
        return [job for stage in (*stages, self._evaluation()) for job in stage]

    @property
    def _pools_used(self) -> list[str]:
        followed = [self.config.drift.pool] if self.config.drift and self.plan.drift.followed else []
        ranked = [str(pairs.pool) for pairs in self.config.pairs.values() if pairs.source == "rerank"]
        return list(dict.fromkeys([*ranked, *followed]))

    @property
    def _models_used(self) -> set[str]:
        config = self.config
        named = {item.model for item in config.rewards.values()} | {item.model for item in config.pairs.values()}
        named |= {item.model for item in config.experiments.values()}
        named |= {item.model for item in config.token_rewards.values()}
        named |= {model for name in self.plan.label.fitted if (model := self.plan.label.model(name))}
        return named | {config.pools[name].model for name in self._pools_used}

    def _data(self) -> Iterator[Job]:
        for name in self.plan.prefetch.datasets:
            yield Job("prefetch_dataset", disk=self.rows.dataset(name) * self._text(1))
        for name in self.config.datasets:
            yield Job("normalise", disk=self.rows.dataset(name) * self._text(1))
        yield Job("split")
        if any(map(self.plan.pairs.draws, self.config.mixes)):
            yield Job("leakage")

    def _models(self) -> Iterator[Job]:
        for name in sorted(self._models_used):
            model = self.config.models[name]
            if model.source == "hub":
                yield Job("prefetch_model", disk=self.size(name).bytes)
            if model.source == "train":
                made = model.training
                tokens = made.steps * made.batch_size * made.max_length
                size = self.size(name)
                yield Job(
                    "train_base", size, 0, trained_tokens=tokens, trained=self._whole(size), disk=size.bytes
                )  # fmt: skip
        for name in self.plan.label.fitted:
            labeller = self.config.labellers[name]
            rows, asked = sum(map(self.rows.dataset, labeller.datasets)), getattr(labeller.options, "rows", None)
            yield self._labelling("fit_labeller", name, rows if asked is None else min(rows, asked))

    def _pools(self) -> Iterator[Job]:
        for name in self._pools_used:
            pool, prompts, size = (
                self.config.pools[name],
                self.rows.pool(name),
                self.size(self.config.pools[name].model),
            )
            yield self._labelling("label_prompts", pool.labeller, prompts)
            ranked = {
                (self.config.rewards[str(item.reward)].pooling, states_policy(self.config, pairs))
                for pairs, item in self.config.pairs.items()
                if item.source == "rerank" and item.pool == name
            }
            blocks = [len(range(shard, math.ceil(prompts / pool.block), pool.shards)) for shard in range(pool.shards)]
            for count in blocks:
                rows = min(count * pool.block, prompts) * pool.samples
                length = self._response(pool.max_new_tokens)
                yield Job(
                    "sample", size, forward_tokens=rows * self.assumptions.prompt_tokens, steps=count * pool.max_new_tokens,
                    sequences=pool.block * pool.samples, disk=rows * length * self.assumptions.bytes_per_token,
                )  # fmt: skip
                for _, policy in ranked:
                    rule = "pool_states" if policy is None else "policy_states"
                    yield Job(rule, size, forward_tokens=rows * length, disk=rows * state_bytes(size))

    def _rewards(self) -> Iterator[Job]:
        for name, reward in self.config.rewards.items():
            size, sides = self.size(reward.model), 2 * self.rows.reward(name)
            states = sides * (1 + reward.token_positions)
            passes = 2 if reward.token_positions else 1
            length = self._response(RESPONSE)
            yield Job("reward_states", size, forward_tokens=sides * passes * length, disk=states * state_bytes(size))
            yield Job("fit_reward", disk=2 * size.layers * (size.width + size.layers) * 4)
            yield Job("analyse_layers")
            for _ in self.plan.reward.ranking_policies(name):
                yield Job("reward_on_policy", size, forward_tokens=sides * reward.test_share * length)

    def _pairs(self) -> Iterator[Job]:
        for name, pairs in self.config.pairs.items():
            disk = self._pair_tokens(name) * self.assumptions.bytes_per_token
            if pairs.source == "rerank":
                yield Job("rerank", disk=disk)
            else:
                yield self._labelling(
                    "annotated_pairs", pairs.labeller, self.rows.with_role(pairs.datasets, "pairs"), disk
                )
        for _ in filter(self.plan.pairs.draws, self.config.mixes):
            yield Job("mix")

    def _evaluation(self) -> Iterator[Job]:
        for judge in self.config.judges.values():
            if judge.datasets:
                yield Job("fit_judge")
        evaluate = self.plan.evaluate
        for batch in self.plan.policies.jobs:
            for benchmarks in evaluate.benchmark_jobs:
                answer = self._answer(batch, benchmarks)
                judging = sum(bool(evaluate.asked(benchmarks, judges)) for judges in evaluate.judge_jobs)
                for _ in range(self.config.batching.answer_shards):
                    yield answer
                    yield from (Job("judge", disk=answer.disk / 10) for _ in range(judging))
        asked = {
            "ablations": bool(self.config.report.ablations),
            "reward_ablations": bool(self.config.report.reward_ablations),
            "kept_tokens": self.config.report.kept_tokens is not None,
        }
        for rule in FINAL:
            if asked.get(rule, True):
                yield Job(rule)

    def _answer(self, batch: str, benchmarks: str) -> Job:
        model, shards = self.plan.policies.model(batch), self.config.batching.answer_shards
        policies, size, block = self.plan.models.of_job(batch), self.size(model), self.config.batching.answer_batch
        steps = prompts = tokens = 0.0
        for policy in policies:
            for benchmark in (self.config.benchmarks[name] for name in self.plan.evaluate.benchmark_jobs[benchmarks]):
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
