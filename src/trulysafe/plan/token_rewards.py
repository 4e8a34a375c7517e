"""What sources of token rewards read beside annotated pairs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from trulysafe.common.kinds import TOKEN_REWARDS
from trulysafe.config.tables.configuration import Configuration
from trulysafe.plan.models import Models
from trulysafe.plan.paths import Results
from trulysafe.plan.policies import Policies


@dataclass(frozen=True)
class TokenRewards:
    """Sources of token rewards."""

    config: Configuration
    results: Results
    models: Models
    policies: Policies

    def code(self, name: str) -> str:
        """Module of a source's kind, which a job loads by its name, for the fingerprint of its code."""
        return TOKEN_REWARDS.module_name(self.config.token_rewards[name].kind)

    def inputs(self, name: str) -> dict[str, Any]:
        """What a source reads beside annotated pairs: the model, and for ``implicit`` a policy."""
        source = self.config.token_rewards[name]
        inputs: dict[str, Any] = {"model": self.models.files(source.model)}
        if source.experiment:
            inputs["policy"] = self.results(f"policies/{self.policies.jobs_of(source.experiment)[0]}")
        return inputs

    def policy(self, name: str) -> dict[str, Any] | None:
        """How to load the policy that ``implicit`` token rewards are read from: the experiment's first seed, its last
        step."""
        source = self.config.token_rewards[name]
        if not source.experiment:
            return None
        run = (source.experiment, self.config.experiments[source.experiment].first_seed)
        first = self.models.of_job(self.policies.jobs_of(source.experiment)[0])
        of_seed = [item for item in first if (item["experiment"], item["seed"]) == run]
        return dict(of_seed[-1]["model"])
