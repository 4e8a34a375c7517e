"""What is answered, judged, followed and shown."""

from __future__ import annotations

from dataclasses import asdict
from functools import cached_property
from typing import Any

from trulysafe.config.resolved import method_of
from trulysafe.plan.pair_cost import PairCost
from trulysafe.plan.runs import UNTRAINED


class Evaluation(PairCost):
    """What is answered, judged, followed and shown."""

    def answer_shards(self, batch: str, table: str = "answers") -> list[str]:
        """Answers of a batch, or their verdicts; the number of shards is in the path, as in :meth:`pool_shards`."""
        count = self.config.batching.answer_shards
        return [self.results(f"{table}/{batch}/{shard}-of-{count}.parquet") for shard in range(count)]

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

    def answering_model(self, batch: str) -> str:
        """The model behind a batch of answers, trained or as it is."""
        return self.untrained[batch] if batch in self.untrained else self.batch_model(batch)

    @property
    def ablation_batches(self) -> list[str]:
        """Batches that hold the arms and defaults of the ablations."""
        named = {name for item in self.config.report.ablations.values() for name in (item.arm, item.default)}
        untrained = [batch for batch in self.untrained if batch.removeprefix(UNTRAINED) in named]
        return [*untrained, *(batch for batch, runs in self.trained.items() if named & {name for name, _ in runs})]

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
            "judge": self.judge_spec(benchmark.judges[0]),
        }

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

    def policy_inputs(self, batch: str) -> dict[str, Any]:
        """What must be there before a batch of policies can answer."""
        if batch in self.untrained:
            return {"model": self.model_files(self.untrained[batch])}
        return {"policies": self.results(f"policies/{batch}")}
