"""What led to the pairs of each arm, for the table of costs."""

from __future__ import annotations

from typing import Any

from trulysafe.config.dependencies import builds_on, reached
from trulysafe.config.resolved import method_of, training_of
from trulysafe.plan.paths import distinct
from trulysafe.plan.train import TrainingJobs


class PairCost(TrainingJobs):
    """What led to the pairs of each arm, for the table of costs."""

    def pair_work(self) -> dict[str, dict[str, Any]]:
        """What led to each trained arm's policies: trainings with their steps, number of rounds, jobs that made its pairs.

        A job is (kind, its output, its benchmark file). Arms that sample online have none.
        """
        found: dict[str, dict[str, Any]] = {}
        before = builds_on(self.config)
        for name, experiment in self.config.experiments.items():
            if experiment.method is None:
                continue
            chain = [name, *sorted(reached(before, name))]
            steps = {item: training_of(self.config, self.config.experiments[item]).steps for item in chain}
            online = [item for item in chain if self._online(item)]
            tables = distinct(table for item in chain if item not in online for table in self._reranked(item))
            jobs = distinct(job for item in chain if item not in online for job in self._pair_jobs(item))
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
