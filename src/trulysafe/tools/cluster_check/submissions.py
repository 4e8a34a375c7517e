"""The jobs of a configuration, each as its rule and the profile ask for it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from trulysafe.plan.plan import Plan
from trulysafe.plan.resources import Site, requests
from trulysafe.tools.cluster_check.findings import Finding
from trulysafe.tools.cluster_check.partitions import Partition
from trulysafe.tools.cluster_check.profile import Profile
from trulysafe.tools.cluster_check.sbatch import refusal
from trulysafe.tools.cost.estimate import STAGES

RULES = {
    "forward": (
        "reward_states",
        "reward_on_policy",
        "pool_states",
        "policy_states",
        "reference",
        "read_rewards",
        "read_token_rewards",
    ),
    "generate": ("sample", "answer", "pool_likelihoods"),
    "train": ("train", "train_base", "fit_token_rewards"),
}
"""Rules that load a model, by kind of work."""
LABELLING = ("fit_labeller", "label_prompts", "annotated_pairs")
"""Rules that generate where a labeller asks a local language model, and load none elsewhere."""
KNOWN_RULES = tuple(rule for stage in STAGES for rule in stage)


@dataclass(frozen=True, order=True)
class Job:
    """A kind of job: what it does (``forward``, ``generate``, ``train``), its model's size class, its processes on each of its nodes, and its rules."""

    kind: str
    size: str
    nodes: int = 1
    processes: int = 1
    rules: tuple[str, ...] = ()

    def __str__(self) -> str:
        over = f", {self.nodes} nodes" if self.nodes > 1 else ""
        each = f", {self.processes} processes" if self.processes > 1 else ""
        return f"{self.kind} {self.size}{over}{each}"

    def requests(self, site: Site) -> dict[str, Any]:
        """What the job asks for, as its rule does."""
        return requests(self.kind, lambda _: self.size, site, lambda _: self.processes, lambda _: self.nodes)


def jobs_of(plan: Plan) -> list[Job]:
    """Every kind of job with a model that a scenario may ask for: by size, trainings of policies by nodes and processes too."""
    models = plan.config.models
    generating = RULES["generate"] + (LABELLING if any(map(plan.label.model, plan.config.labellers)) else ())
    reading = {
        Job(kind, plan.models.size(name), rules=rules)
        for kind, rules in (("forward", RULES["forward"]), ("generate", generating))
        for name in models
    }
    fitted = {
        Job("train", plan.models.size(name), rules=("train_base",))
        for name, item in models.items()
        if item.source == "train"
    }
    fitted |= {
        Job("train", plan.models.size(source.model), rules=("fit_token_rewards",))
        for source in plan.config.token_rewards.values()
        if source.kind == "token_rm"
    }
    policies = {
        Job(
            "train",
            plan.models.size(plan.policies.model(batch)),
            plan.train.nodes(batch),
            plan.train.processes(batch),
            ("train",),
        )
        for batch in plan.policies.trained
    }
    return sorted(reading | fitted | policies)


def submissions(profile: Profile, jobs: Iterable[Job], there: Mapping[str, Partition]) -> Iterator[Finding]:
    """Whether SLURM would take each kind of job, at its first and at all later attempts."""
    asked, unasked = asked_for(profile, list(jobs))
    for name, at in asked.items():
        for attempt in range(1, profile.attempts + 1):
            refused = refusal(profile, at(attempt), there)
            if refused is not None:
                yield Finding("mend", "jobs", f"{name}, attempt {attempt}: {refused}")
                break
        else:
            yield Finding("ok", "jobs", f"{name}: SLURM would take it, at attempt {profile.attempts} too")
    if unasked:
        yield Finding(
            "note", "jobs", f"set-resources of {', '.join(unasked)}: not asked about, give CONFIG=config/mine.yaml"
        )


def asked_for(profile: Profile, jobs: Sequence[Job]) -> tuple[dict[str, Callable[[int], dict[str, Any]]], list[str]]:
    """What each kind of job asks for at an attempt, by name, and rules of ``set-resources`` whose jobs are not known."""

    def at(job: Job | None, rule: str) -> Callable[[int], dict[str, Any]]:
        return lambda attempt: asked_at(profile, job, rule, attempt)

    asked = {"no model": at(None, "")}
    for job in jobs:
        for rule in job.rules:
            asked.setdefault(f"rule {rule} ({job})" if rule in profile.of_rules else str(job), at(job, rule))
    with_model = {rule for job in jobs for rule in job.rules}
    of_models = {rule for rules in RULES.values() for rule in rules} | set(LABELLING)
    for rule in profile.of_rules:
        if rule in KNOWN_RULES and rule not in with_model and (rule in LABELLING or rule not in of_models):
            asked[f"rule {rule}"] = at(None, rule)
    unasked = [rule for rule in profile.of_rules if rule in of_models - set(LABELLING)] if not jobs else []
    return asked, unasked


def asked_at(profile: Profile, job: Job | None, rule: str, attempt: int) -> dict[str, Any]:
    """Resources of a job at an attempt: the rule's own before the defaults, ``set-resources`` before both."""
    values = profile.evaluated(profile.defaults, attempt)
    for key, value in (job.requests(profile.site) if job else {}).items():
        values[key] = value(None, attempt) if key in ("mem_mb", "runtime") else value(None)
    values |= profile.evaluated(profile.of_rules.get(rule, {}), attempt)
    return {key: value for key, value in values.items() if value is not None}
