"""What sources of token rewards read beside annotated pairs."""

from typing import Any

from trulysafe.common.kinds import TOKEN_REWARDS
from trulysafe.plan.paths import Part


class TokenRewards(Part):
    """Sources of token rewards."""

    def code(self, name: str) -> str:
        """Module of a source's kind, which a job loads by its name, for the fingerprint of its code."""
        return TOKEN_REWARDS.module_name(self.config.token_rewards[name].kind)

    def inputs(self, name: str) -> dict[str, Any]:
        """What a source reads beside annotated pairs: the model, and for ``implicit`` a policy."""
        source = self.config.token_rewards[name]
        inputs: dict[str, Any] = {"model": self.plan.models.files(source.model)}
        if source.experiment:
            inputs["policy"] = self.results(f"policies/{self.plan.policies.jobs_of(source.experiment)[0]}")
        return inputs

    def policy(self, name: str) -> dict[str, Any] | None:
        """How to load the policy that ``implicit`` rewards are read from: first seed, last step of its experiment."""
        source = self.config.token_rewards[name]
        if not source.experiment:
            return None
        run = (source.experiment, self.config.experiments[source.experiment].first_seed)
        first = self.plan.models.of_job(self.plan.policies.jobs_of(source.experiment)[0])
        of_seed = [item for item in first if (item["experiment"], item["seed"]) == run]
        return dict(of_seed[-1]["model"])
