"""PPO arms in a configuration: what they wait for, what they cost, and what does not fit."""

from __future__ import annotations

import pytest

from tests.unit.small_configuration import changed, refused
from trulysafe.config.load import load
from trulysafe.config.order import waits_for
from trulysafe.config.resolved import method_of
from trulysafe.methods.method import Method, Online, Ppo
from trulysafe.plan.plan import Plan
from trulysafe.tools.cost.sampled import forward_tokens, fresh_batches, trained_tokens

ONLINE = {"samples": 4, "max_new_tokens": 48}
METHOD = {"loss": "ppo", "reward": "hybrid", "online": ONLINE}
PPO = {
    "methods.ppo": METHOD,
    "experiments.ppo": {"model": "tiny", "mix": "random", "method": "ppo"},
    "token_rewards.critic": {"kind": "critic", "model": "tiny", "datasets": ["preferences"], "experiment": "ppo"},
    "methods.by_critic": {"mask": {"rule": "hysteresis"}, "token_rewards": "critic"},
    "experiments.by_critic": {"model": "tiny", "mix": "random", "method": "by_critic"},
}


def test_an_arm_reads_the_reward_and_one_by_its_critic_waits_for_it() -> None:
    config = load(changed(PPO))
    assert method_of(config, "ppo").needs_reward
    assert waits_for(config)["by_critic"] == {"ppo"}
    plan = Plan(config)
    (job,) = plan.policies.jobs_of("ppo")
    assert plan.train.inputs(job)["reward"] == "results/small/rewards/hybrid/model"
    assert plan.token_rewards.policy("critic")["source"].endswith(f"{job}/ppo/seed0/step2")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"methods.ppo": METHOD | {"beta": 0.2}}, "methods.ppo.beta: the loss 'ppo' has no implicit reward"),
        ({"methods.ppo": METHOD | {"reward": None}}, "methods.ppo.reward: missing"),
        ({"mixes.random.flip": 0.5}, "experiments.ppo.mix: labels of 'random' are flipped, but the loss 'ppo' reads"),
        ({"experiments.ppo.training": {"engine": "ddp"}}, "experiments.ppo: training.engine is 'ddp'"),
        ({"token_rewards.critic.experiment": "dpo"}, "token_rewards.critic.experiment: 'dpo' has no critic"),
        ({"methods.ppo": METHOD | {"token_rewards": "policy"}, "token_rewards.policy": {
            "kind": "implicit", "model": "tiny", "datasets": ["preferences"], "experiment": "dpo"}},
         "methods.ppo.token_rewards: the method has no mask that would read them"),
        ({"methods.ppo": METHOD | {"ppo": {"epoch": 1}}}, "methods.ppo.ppo.epoch: unknown key. Did you mean 'epochs'"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused(changes, said) -> None:
    lines = refused(PPO | changes)
    assert any(line.startswith(said) for line in lines), lines


def test_costs_count_every_pass_over_a_sample() -> None:
    method = Method(loss="ppo", online=Online(samples=4), ppo=Ppo(epochs=2))
    assert fresh_batches(method, 10) == 5
    assert trained_tokens(method, 100, prompt=3, response=7) == 2 * 4 * 10  # policy and critic
    assert forward_tokens(method, prompt=3, response=7) == 4 * (3 + 4 * 10)
    online, plain = Method(online=Online(samples=4)), Method()
    assert fresh_batches(online, 10) == 10
    assert (fresh_batches(plain, 10), trained_tokens(plain, 100, 3, 7)) == (0, 100)
    assert forward_tokens(online, 3, 7) == 4 * 3 + 6 * 7
