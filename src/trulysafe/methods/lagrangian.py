"""PPO-Lagrangian: a reward is raised while the mean of a cost is held at or below a threshold.

Source: Safe RLHF (Dai et al., 2023, arXiv 2310.12773), whose problem is

    min_theta max_(lambda >= 0) [-J_R(theta) + lambda (J_C(theta) - d)],

with d as in its released code (``safe_rlhf/algorithms/ppo_lag/trainer.py``). Reward and cost have a critic each. The
price of distance to the start is taken from the reward and added to the cost, so that it is the same in
:func:`combined` whatever the multiplier.
"""

import math

from torch import Tensor

from trulysafe.common.errors import UserError


def combined(of_reward: Tensor, of_cost: Tensor, multiplier: float) -> Tensor:
    """``(A_r - lambda A_c) / (1 + lambda)``: advantages (or values) of reward and cost as one.

    Shape and dtype are those of both. With a multiplier of 0 it is ``of_reward`` to the last bit; with a large one it
    is the cost's, turned round.

    Source: released code, ``actor_loss_fn``. UserError: shapes that differ, or a multiplier that is negative or not
    finite.
    """
    if of_reward.shape != of_cost.shape:
        shapes = f"{tuple(of_reward.shape)} of the reward, {tuple(of_cost.shape)} of the cost"
        raise UserError(f"lagrangian: shapes differ, {shapes}. Both must be [rows, tokens].")
    if not 0 <= multiplier < math.inf:
        raise UserError(f"lagrangian: the multiplier {multiplier} is not accepted. Accepted: finite, 0 or more.")
    return (of_reward - multiplier * of_cost) / (1 + multiplier)


def next_multiplier(
    multiplier: float, mean_cost: float, threshold: float, learning_rate: float, maximum: float
) -> float:
    """The multiplier after one step up the gradient: ``ln lambda <- ln lambda + rate lambda (mean cost - threshold)``,
    at most ``maximum``. It rises where the mean cost is above the threshold, falls towards 0 where it is below, and is
    never negative; 0 stays 0. Costs are log-odds, nats.

    Source: released code, ``rl_step``: SGD on log lambda; equation 31 of the paper, which has ``J_C`` for the excess.
    UserError: a mean cost that is not finite.
    """
    if not math.isfinite(mean_cost):
        raise UserError(f"lagrangian: the mean cost is {mean_cost}. Look at the reward that the cost is read from.")
    step = learning_rate * multiplier * (mean_cost - threshold)
    if multiplier > 0 and step > math.log(maximum) - math.log(multiplier):  # before exp, which would overflow
        return maximum
    return multiplier * math.exp(step)
