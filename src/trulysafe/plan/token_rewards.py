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
        """What a source reads beside annotated pairs: the model, and for ``implicit`` one policy or two."""
        source = self.config.token_rewards[name]
        inputs: dict[str, Any] = {"model": self.plan.models.files(source.model)}
        for key, experiment in (("policy", source.experiment), ("against", source.against)):
            if experiment:
                inputs[key] = self.results(f"policies/{self.plan.policies.jobs_of(experiment)[0]}")
        return inputs

    def policy(self, name: str) -> dict[str, Any] | None:
        """How to load the policy that ``implicit`` rewards are read from: first seed, last step of its experiment."""
        return self._last(self.config.token_rewards[name].experiment)

    def reference(self, name: str) -> dict[str, Any]:
        """How to load what values are read from, or for ``implicit`` held against: the model, or another policy."""
        source = self.config.token_rewards[name]
        return self._last(source.against) or self.plan.models.spec(source.model)

    def _last(self, experiment: str | None) -> dict[str, Any] | None:
        if not experiment:
            return None
        run = (experiment, self.config.experiments[experiment].first_seed)
        first = self.plan.models.of_job(self.plan.policies.jobs_of(experiment)[0])
        of_seed = [item for item in first if (item["experiment"], item["seed"]) == run]
        return dict(of_seed[-1]["model"])
