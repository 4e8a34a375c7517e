"""What is answered and judged."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from trulysafe.config.tables.configuration import Configuration
from trulysafe.plan.models import Models
from trulysafe.plan.paths import Results
from trulysafe.plan.policies import Policies


@dataclass(frozen=True)
class Evaluate:
    """Answers of policies and their judges."""

    config: Configuration
    results: Results
    models: Models
    policies: Policies

    def inputs(self, job: str) -> dict[str, Any]:
        """What must be there before the policies of a job can answer."""
        if job in self.policies.untrained:
            return {"model": self.models.files(self.policies.untrained[job])}
        return {"policies": self.results(f"policies/{job}")}

    def answers(self, job: str, table: str = "answers") -> list[str]:
        """Answers of a job's policies, or their ``verdicts``, in shards; their number is in the path, as in a pool's."""
        count = self.config.batching.answer_shards
        return [self.results(f"{table}/{job}/{shard}-of-{count}.parquet") for shard in range(count)]

    def judge(self, name: str) -> dict[str, Any]:
        """How to open a judge: kind, options and, of a fitted one, the folder of its fit."""
        judge = self.config.judges[name]
        artefact = self.results(f"judges/{name}") if judge.datasets else None
        return {"kind": judge.kind, "options": dict(judge.options), "artefact": artefact}

    @property
    def fitted_judges(self) -> list[str]:
        """Judges that are fitted to data first."""
        return [name for name, judge in self.config.judges.items() if judge.datasets]

    @property
    def measured_on(self) -> dict[str, dict[str, Any]]:
        """What the numbers need to know of a benchmark; its first judge is the main one."""
        return {
            name: {"axis": benchmark.axis, "purpose": benchmark.purpose, "judge": benchmark.judges[0]}
            for name, benchmark in self.config.benchmarks.items()
        }

    @property
    def ablated(self) -> list[str]:
        """Jobs that hold the arms and defaults of the ablations."""
        named = {name for item in self.config.report.ablations.values() for name in (item.arm, item.default)}
        return [job for job in self.policies.jobs if named & self.policies.experiments(job).keys()]
