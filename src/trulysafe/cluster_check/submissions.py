"""The jobs of a configuration, each asked of SLURM by ``sbatch --test-only``, which submits nothing."""

from __future__ import annotations

import subprocess
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from trulysafe.cluster_check.findings import Finding
from trulysafe.cluster_check.profile import Profile
from trulysafe.config.plan import Plan
from trulysafe.resources import Site, requests


@dataclass(frozen=True, order=True)
class Job:
    """A kind of job: what it does (``forward``, ``generate``, ``train``), its model's size class, and its processes on each of its nodes."""

    kind: str
    size: str
    nodes: int = 1
    processes: int = 1

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
    reading = {Job(kind, plan.size(name)) for kind in ("forward", "generate") for name in models}
    fitted = [name for name, model in models.items() if model.source == "train"]
    fitted += [source.model for source in plan.config.token_rewards.values() if source.kind == "token_rm"]
    policies = {
        Job("train", plan.size(plan.batch_model(batch)), plan.batch_nodes(batch), plan.batch_processes(batch))
        for batch in plan.trained
    }
    return sorted(reading | {Job("train", plan.size(name)) for name in fitted} | policies)


def submissions(profile: Profile, jobs: Iterable[Job]) -> Iterator[Finding]:
    """Ask SLURM whether it would take each kind of job, at its first and at its last attempt."""
    asked: dict[str, dict[str, Any]] = {"no model": {"slurm_partition": profile.site.slurm_partition}}
    for job in jobs:
        asked[str(job)] = job.requests(profile.site)
    for name, resources in asked.items():
        for attempt in sorted({1, profile.attempts}):
            refused = test_submission(profile, resources, attempt)
            if refused is not None:
                yield Finding("mend", "jobs", f"{name}, attempt {attempt}: {refused}")
                break
        else:
            yield Finding("ok", "jobs", f"{name}: SLURM would take it, at attempt {profile.attempts} too")


def test_submission(profile: Profile, resources: Mapping[str, Any], attempt: int) -> str | None:
    """Why SLURM would refuse a job; None if it would take it. Nothing is submitted."""
    values = {}
    for key, value in resources.items():
        arguments = (None, attempt) if key in ("mem_mb", "runtime") else (None,)
        values[key] = value(*arguments) if callable(value) else value
    gpus = f"{values['gpu_model']}:{values['gpu']}" if values.get("gpu_model") else values.get("gpu")
    flags = {
        "--partition": values.get("slurm_partition"), "--gpus": gpus, "--gres": values.get("gres"),
        "--nodes": values.get("nodes"), "--ntasks": values.get("tasks") or 1, "--cpus-per-task": values.get("cpus_per_task"),
        "--constraint": values.get("constraint"), "--mem": values.get("mem_mb"), "--time": values.get("runtime"), "--account": profile.defaults.get("slurm_account"),
        "--qos": profile.defaults.get("qos"),
    }  # fmt: skip
    asked = [f"{flag}={value}" for flag, value in flags.items() if value]
    done = subprocess.run(
        ["sbatch", "--test-only", *asked, "--wrap=true"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    reason = (done.stderr.strip().splitlines() or ["no reason given"])[-1].rpartition(": ")[2]
    return f"{reason} ({' '.join(asked)})" if done.returncode else None
