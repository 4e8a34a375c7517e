"""Pools of sampled responses, pair tables, and the mixes drawn from them."""

from typing import Any

from trulysafe.config.order import seeds, states_policy
from trulysafe.plan.paths import Part


class Pairs(Part):
    """Pools, pair tables and mixes."""

    def pool_shards(self, pool: str, pattern: str) -> list[str]:
        """All shards of a pool; their number is in the path, so that changing it never mixes old shards with new."""
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
            "model": self.plan.models.files(pairs.model),
        }

    def of_source(self, source: str) -> list[str]:
        """Pair tables of a source (``annotated`` or ``rerank``)."""
        return [name for name, pairs in self.config.pairs.items() if pairs.source == source]

    @property
    def first_round(self) -> list[str]:
        """Pair tables that exist before any training."""
        return [name for name, pairs in self.config.pairs.items() if pairs.states_from is None]

    @property
    def later_pools(self) -> list[str]:
        """Prompts of the pools that later rounds rank again."""
        pools = {str(pairs.pool) for pairs in self.config.pairs.values() if pairs.states_from is not None}
        return [self.results(f"pools/{pool}/prompts.parquet") for pool in sorted(pools)]

    def draws(self, mix: str) -> list[int]:
        """Seeds of every experiment that trains on a mix; each seed has its own draw."""
        users = [experiment for experiment in self.config.experiments.values() if experiment.mix == mix]
        return sorted({seed for experiment in users for seed in seeds(experiment)})
