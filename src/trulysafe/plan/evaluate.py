"""What is answered and judged."""

from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import Any

from trulysafe.config.tables.evaluation import Benchmark, Judge
from trulysafe.config.tables.sources import LocalLlm
from trulysafe.evaluate.judging import JUDGES, check_machine
from trulysafe.evaluate.tasks import METRICS
from trulysafe.plan.paths import Part, distinct
from trulysafe.plan.resources import SIZES


class Evaluate(Part):
    """Answers of policies and their judges."""

    def inputs(self, job: str) -> dict[str, Any]:
        """What must be there before the policies of a job can answer."""
        if job in self.plan.policies.untrained:
            (experiment,) = self.plan.policies.experiments(job)
            models = self.plan.policies.untrained[job].values()
            files = distinct(path for model in models for path in self.plan.models.files(model))
            return {"model": files, **self.plan.inference.files(experiment)}
        return {"policies": self.results(f"policies/{job}")}

    @cached_property
    def benchmark_jobs(self) -> dict[str, list[str]]:
        """Benchmarks that are answered together: those that name a ``job`` under it, others under their own name."""
        return _by_job({name: item for name, item in self.config.benchmarks.items() if not item.task})

    @cached_property
    def task_jobs(self) -> dict[str, list[str]]:
        """Benchmarks whose tasks are done together, named as :attr:`benchmark_jobs`."""
        return _by_job({name: item for name, item in self.config.benchmarks.items() if item.task})

    @cached_property
    def judge_jobs(self) -> dict[str, list[str]]:
        """Judges that judge together, named as :attr:`benchmark_jobs`."""
        return _by_job(self.config.judges)

    def answers(self, job: str) -> list[str]:
        """Answers of a job's policies, in shards; their number is in the path, as in a pool's."""
        return [path for benchmarks in self.benchmark_jobs for path in self._shards(f"answers/{job}/{benchmarks}")]

    @property
    def reflected(self) -> list[str]:
        """Answers of arms that look passages up or reflect."""
        arms = {name for name, item in self.config.experiments.items() if item.retrieve}
        jobs = (job for job in self.plan.policies.jobs if arms & self.plan.policies.experiments(job).keys())
        return [path for job in jobs for path in self.answers(job)]

    def verdicts(self, job: str, judges: Iterable[str] | None = None) -> list[str]:
        """Verdicts on the answers and choices of a job's policies: all files, or those that hold some judges' ones."""
        some = set(self.judges if judges is None else judges)
        folders = [
            f"chosen/{job}/{tasks}"
            for tasks, names in self.task_jobs.items()
            if some & {self.config.benchmarks[name].main_judge for name in names}
        ]
        folders += [
            f"verdicts/{job}/{benchmarks}/{together}"
            for benchmarks in self.benchmark_jobs
            for together in self.judge_jobs
            if some & self.asked(benchmarks, together).keys()
        ]
        return [path for folder in folders for path in self._shards(folder)]

    def asked(self, benchmarks: str, judges: str) -> dict[str, list[str]]:
        """Judges of a job of judges -> those of a job's benchmarks that ask them; without judges that none asks."""
        found = {
            judge: [name for name in self.benchmark_jobs[benchmarks] if judge in self.config.benchmarks[name].judges]
            for judge in self.judge_jobs[judges]
        }
        return {judge: asking for judge, asking in found.items() if asking}

    def compared(self, name: str) -> list[str]:
        """Answers that a comparison of two arms reads."""
        item = self.config.report.pairwise[name]
        jobs = [job for job in self.plan.policies.jobs if {*item.arms} & self.plan.policies.experiments(job).keys()]
        (benchmarks,) = (job for job, names in self.benchmark_jobs.items() if item.benchmark in names)
        return [path for job in jobs for path in self._shards(f"answers/{job}/{benchmarks}")]

    @property
    def judges(self) -> list[str]:
        """All that verdicts may be of, the metrics of tasks last; of a metric's filters those that count."""
        return distinct([*self.config.judges, *METRICS, *self.main_judges])

    def datasets(self, names: Iterable[str]) -> list[str]:
        """Data sets of the prompts of benchmarks, and of examples that are shown before them."""
        benchmarks = [self.config.benchmarks[name] for name in names]
        return sorted({dataset for item in benchmarks for dataset in (*item.datasets, *item.shots_from)})

    def task_files(self, names: Iterable[str]) -> list[str]:
        """Files of one's own that describe the tasks of benchmarks."""
        return [task for name in names if (task := str(self.config.benchmarks[name].task)).endswith(".yaml")]

    def _shards(self, folder: str) -> list[str]:
        count = self.config.batching.answer_shards
        return [self.results(f"{folder}/{shard}-of-{count}.parquet") for shard in range(count)]

    def judge(self, name: str, beside: bool = False) -> dict[str, Any]:
        """How to open a judge: kind, options and what it works with: the folder of its fit, the model that it reads,
        and what of the language model that it asks decides answers. ``beside`` a policy that the job itself holds, its
        model is transformers'."""
        judge = self.config.judges[name]
        artefact = self.results(f"judges/{name}") if judge.datasets else None
        options = judge.options.model_dump(exclude_defaults=True)
        asked = {"llm": self.plan.label.llm_options(judge.llm)} if judge.llm else {}
        return {"kind": judge.kind, "options": options, "artefact": artefact, **self.judge_model(name, beside), **asked}

    def judge_model(self, name: str, beside: bool = False) -> dict[str, Any]:
        """The model that a judge reads: how to load it, and conversations per forward; nothing where it reads none."""
        judge, batch_size = self.config.judges[name], self.config.batching.forward_batch
        if not judge.model:
            return {}
        written = judge.options.writes and not beside
        spec = (self.plan.generation if written else self.plan.models).spec(judge.model)
        return {"model": spec, "batch_size": batch_size}

    def judge_files(self, names: Iterable[str]) -> list[str]:
        """What to wait for before judges can judge: the fits of those that are fitted, the models that they read."""
        fits = (artefact for name in names if (artefact := self.judge(name)["artefact"]))
        return distinct([*fits, *self.judge_model_files(names)])

    def judge_model_files(self, names: Iterable[str]) -> list[str]:
        """What to wait for before the models that judges read can be loaded."""
        return distinct(path for model in self.judge_models(names) for path in self.plan.models.files(model))

    def judge_models(self, names: Iterable[str]) -> list[str]:
        """Models that judges read, or ask in the job itself, the largest first."""
        models = distinct(model for name in names if (model := self.model(name)))
        return sorted(models, key=lambda model: -[*SIZES].index(self.plan.models.size(model)))

    def model(self, name: str) -> str | None:
        """The model that a job loads for a judge: that which it reads, or the local language model that it asks."""
        llm = self.local_llm(name)
        return llm.model if llm else self.config.judges[name].model

    def local_llm(self, name: str) -> LocalLlm | None:
        """The language model that a judge asks, if the job itself loads it."""
        llm = self.config.llms.get(self.config.judges[name].llm or "")
        return llm if isinstance(llm, LocalLlm) else None

    def judge_modules(self, names: Iterable[str]) -> list[str]:
        """Modules of judges, for the fingerprint of a job that uses them."""
        return sorted({JUDGES.module_name(self.config.judges[name].kind) for name in names})

    def cores(self, names: Iterable[str]) -> int:
        """Processor cores of a job of judges."""
        return max((self.config.judges[name].options.CORES for name in names), default=1)

    def check_machine(self, paths: Iterable[str]) -> None:
        """Raise a :class:`UserError` where this machine lacks what a judge needs whose verdicts are among ``paths``."""
        needed = set(paths)
        asked = {
            judge
            for job in self.plan.policies.jobs
            for benchmarks in self.benchmark_jobs
            for together in self.judge_jobs
            if needed & {*self._shards(f"verdicts/{job}/{benchmarks}/{together}")}
            for judge in self.asked(benchmarks, together)
        }
        check_machine({self.config.judges[name].kind for name in asked})

    @property
    def main_judges(self) -> list[str]:
        """The first judge of every benchmark, by whose verdicts arms are compared."""
        return distinct(benchmark.main_judge for benchmark in self.config.benchmarks.values())

    @property
    def fitted_judges(self) -> list[str]:
        """Judges that are fitted to data first."""
        return [name for name, judge in self.config.judges.items() if judge.datasets]

    @property
    def people(self) -> dict[str, Any]:
        """Tables of responses that people labelled, how many of each, and what fitted judges were fitted on; nothing
        where judges are not held against people."""
        people = self.config.report.people
        if people is None:
            return {}
        tables, learnt = self.plan.data.tables, {name: self.config.judges[name].datasets for name in self.fitted_judges}
        fitted = [{"artefact": self.judge(name)["artefact"], "tables": tables(of)} for name, of in learnt.items()]
        return {"tables": tables(people.datasets), "fitted": fitted, "rows": people.rows}

    @cached_property
    def beside_people(self) -> dict[str, list[str]]:
        """Judges that are held against people, in the jobs of :attr:`judge_jobs`: those that say whether an answer is
        safe or refuses, not whether it is right."""
        asking = (item for item in self.config.benchmarks.values() if item.axis != "helpfulness")
        asked = {judge for benchmark in asking for judge in benchmark.judges}
        found = {job: [name for name in judges if name in asked] for job, judges in self.judge_jobs.items()}
        return {job: judges for job, judges in found.items() if judges}

    @property
    def people_datasets(self) -> list[str]:
        """Data sets of labelled responses that judges are held against, or were fitted on."""
        people = self.config.report.people
        fitted = (dataset for name in self.fitted_judges for dataset in self.config.judges[name].datasets)
        return distinct([*(people.datasets if people else []), *fitted])

    @property
    def measured_on(self) -> dict[str, dict[str, Any]]:
        """What the numbers need to know of a benchmark; its first judge is the main one."""
        every = self.config.benchmarks.items()
        return {name: {"axis": item.axis, "purpose": item.purpose, "judge": item.main_judge} for name, item in every}

    @property
    def ablated(self) -> list[str]:
        """Jobs that hold the arms and defaults of the ablations."""
        named = {name for item in self.config.report.ablations.values() for name in (item.arm, item.default)}
        return [job for job in self.plan.policies.jobs if named & self.plan.policies.experiments(job).keys()]


def _by_job(components: Mapping[str, Benchmark] | Mapping[str, Judge]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for name, component in components.items():
        found.setdefault(component.job or name, []).append(name)
    return found
