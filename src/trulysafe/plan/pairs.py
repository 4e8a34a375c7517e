"""Pools, rewards and pair tables."""

from __future__ import annotations

from functools import cached_property
from typing import Any

from trulysafe.config.order import Policy, states_policy
from trulysafe.config.tables.evaluation import RewardAblation
from trulysafe.plan.label import Labels


class Preferences(Labels):
    """Pools, rewards and pair tables."""

    def pool_shards(self, pool: str, pattern: str) -> list[str]:
        """All shards of a pool; their number is in the path, so that changing it never mixes old shards with new ones."""
        count = self.config.pools[pool].shards
        return [self.results(f"pools/{pool}/{pattern}").format(shard=shard, shards=count) for shard in range(count)]

    def rerank_inputs(self, name: str) -> dict[str, Any]:
        """Samples and states of the pool that a re-ranked pair table ranks, and the reward that ranks them."""
        pairs = self.config.pairs[name]
        pool, reward = str(pairs.pool), str(pairs.reward)
        pooling, policy = self.config.rewards[reward].pooling, states_policy(self.config, name)
        place = "states" if policy is None else f"policy_states/{policy}"
        return {
            "samples": self.pool_shards(pool, "samples/{shard}-of-{shards}.parquet"),
            "states": self.pool_shards(pool, f"{place}/{pooling}/{{shard}}-of-{{shards}}"),
            "reward": self.results(f"rewards/{reward}/model"),
            "model": self.model_files(pairs.model),
        }

    def rewards_on_policies(self) -> list[str]:
        """Measures of a reward on the states of each policy that it ranks a pool with."""
        return sorted(
            self.results(f"rewards/{reward}/on/{policy}.json")
            for reward in self.config.rewards
            for policy in self.policies_ranked_by(reward)
        )

    def policies_ranked_by(self, reward: str) -> set[Policy]:
        """Policies on whose states a reward ranks a pool."""
        ranking = [name for name, pairs in self.config.pairs.items() if pairs.reward == reward]
        return {policy for name in ranking if (policy := states_policy(self.config, name)) is not None}

    def first_round_pairs(self) -> list[str]:
        """Pair tables that exist before any training."""
        return [name for name, pairs in self.config.pairs.items() if pairs.states_from is None]

    def later_pools(self) -> list[str]:
        """Prompts of the pools that later rounds rank again."""
        pools = {str(pairs.pool) for pairs in self.config.pairs.values() if pairs.states_from is not None}
        return [self.results(f"pools/{pool}/prompts.parquet") for pool in sorted(pools)]

    def pairs_from(self, source: str) -> list[str]:
        """Pair tables of a source (``annotated`` or ``rerank``)."""
        return [name for name, pairs in self.config.pairs.items() if pairs.source == source]

    def reward_identity(self, name: str | None) -> dict[str, Any]:
        """What a saved reward says about its base model; whatever reads the reward checks it."""
        if name is None:
            return {}
        reward = self.config.rewards[name]
        model = self.config.models[reward.model]
        known = {"base_model": reward.model, "pooling": reward.pooling}
        return known if model.source == "train" else {**known, "name": model.name, "revision": model.revision}

    @cached_property
    def reward_ablations(self) -> dict[str, dict[str, Any]]:
        """Comparisons of rewards: name -> ``choice``, ``primary``, ``a`` and ``b``, which :meth:`compared_rewards` makes."""
        return {
            name: {"choice": item.choice, "primary": item.primary, "a": _fitted_as(item), "b": item.default}
            for name, item in self.config.report.reward_ablations.items()
        }

    @cached_property
    def compared_rewards(self) -> dict[str, dict[str, dict[str, Any]]]:
        """What is fitted to compare rewards: reward whose states are read -> name of the fit -> ``options`` and ``baseline``."""
        found: dict[str, dict[str, dict[str, Any]]] = {}
        for item in self.config.report.reward_ablations.values():
            for states, name, fit, baseline in (
                (item.default, item.default, {}, None),
                (item.reward or item.default, _fitted_as(item), item.fit or {}, item.baseline),
            ):
                reward = self.config.rewards[states]
                options = {"fit": {**reward.fit, **fit}, "test_share": reward.test_share, "seed": reward.seed}
                found.setdefault(states, {})[name] = {"options": options, "baseline": baseline}
        return found


def _fitted_as(item: RewardAblation) -> str:
    """Name of the other side of a comparison of rewards."""
    changed = ", ".join(f"{key}: {value}" for key, value in (item.fit or {}).items())
    return item.reward or f"{item.default}, {item.baseline or changed}"
