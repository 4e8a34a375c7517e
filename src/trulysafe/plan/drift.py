"""Policies whose order and distribution are followed along training."""

from functools import cached_property
from typing import Any

from trulysafe.plan.paths import Part


class Drift(Part):
    """Followed policies; nothing is followed without ``drift``."""

    @cached_property
    def followed(self) -> dict[str, list[dict[str, Any]]]:
        """Followed policies, by training job."""
        named = set(self.config.drift.experiments) if self.config.drift else set()
        every = ((job, self.plan.models.of_job(job)) for job in self.plan.policies.trained)
        found = {job: [one for one in of_job if one["experiment"] in named] for job, of_job in every}
        return {job: policies for job, policies in found.items() if policies}

    def inputs(self, job: str) -> dict[str, Any]:
        """What is read to follow the policies of a training job."""
        drift = self.config.drift
        if drift is None:
            return {}
        return {
            "policies": self.results(f"policies/{job}"),
            "samples": self.plan.pairs.pool_shards(drift.pool, "samples/{shard}-of-{shards}.parquet"),
            "model": self.plan.models.files(self.config.pools[drift.pool].model),
            "datasets": self.plan.data.tables(self.datasets),
            "judge": self.plan.evaluate.judge_model_files(self.judges),
        }

    @property
    def datasets(self) -> list[str]:
        """Data sets of the prompts that new samples answer; none where nothing is followed."""
        return self.config.benchmarks[self.config.drift.benchmark].datasets if self.config.drift else []

    @property
    def judges(self) -> list[str]:
        """The judge of new samples; none where nothing is followed."""
        return self.config.benchmarks[self.config.drift.benchmark].judges[:1] if self.config.drift else []

    @property
    def options(self) -> dict[str, Any]:
        """How policies are followed: numbers of prompts and samples, decoding, benchmark and judge."""
        drift = self.config.drift
        if drift is None:
            return {}
        pool, benchmark = self.config.pools[drift.pool], self.config.benchmarks[drift.benchmark]
        return {
            "reference": self.plan.models.spec(pool.model),
            "prompts": drift.prompts,
            "fresh_prompts": drift.fresh_prompts,
            "decoding": {
                "samples": drift.fresh_samples,
                **pool.model_dump(include={"temperature", "top_k", "top_p", "repetition_penalty", "max_new_tokens"}),
            },
            "block": pool.block,
            "seed": pool.seed,
            "risks": benchmark.risks,
            "judge": self.plan.evaluate.judge(benchmark.judges[0], beside=True),
            "cut_off": benchmark.cut_off,
        }
