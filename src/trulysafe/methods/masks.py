"""AMA: which response tokens a preference loss keeps (Equilibrate RLHF, arXiv 2502.11555); and how much each counts
where all are kept (TIS-DPO, arXiv 2410.04350).

All tensors are [rows, tokens]; ``response_mask`` marks the response tokens (end-of-turn token included), wherever they
lie in the row. What lies outside a response is 0 in every mask.
"""

import math

import torch
from torch import Tensor

from trulysafe.common.errors import UserError, not_accepted
from trulysafe.methods.parts import EOS_OPTIONS, IMPORTANCE, MASK_RULES, Mask


def message_mask(
    token_rewards: Tensor,
    response_mask: Tensor,
    chosen: Tensor,
    rule: str = "hysteresis",
    baseline: float = 0.0,
    width: float = 0.3,
) -> Tensor:
    """Keep the tokens that speak for the label: rewarded ones on chosen rows, penalised ones on rejected rows.

    ========== ===================================================================================== ==================
    rule       chosen row keeps / rejected row keeps                                                 source
    ========== ===================================================================================== ==================
    threshold  ``r_t > baseline`` / ``r_t < baseline``                                               released code
    batch_mean the same, with the mean over all response tokens given as baseline                    reviews
    hysteresis state +1 / state -1; the state becomes +1 above ``baseline + width``, -1 below        released figure
               ``baseline - width``, and stays what it was in between. Before the first crossing it
               is the sign of the first response token's reward less ``baseline`` (0 counts as +1).
    ========== ===================================================================================== ==================

    Args:
        token_rewards: reward read after consuming each token, shape [rows, tokens], any floating dtype; values outside
            the response are ignored.
        response_mask: 1 on response tokens, same shape.
        chosen: boolean per row, shape [rows].
        rule: see the table.
        baseline: the level that separates good from bad, finite; not used by ``batch_mean``.
        width: half-width of the dead band of ``hysteresis``, finite and >= 0 whatever the rule.

    Returns:
        Detached 0/1 tensor of the shape and dtype of ``token_rewards``: the raw rule, see :func:`with_minimum_share`.

    Raises:
        UserError: unknown rule, shapes that do not match, a baseline or width out of range, rewards that are no
            floating-point numbers, or one that is not finite.
    """
    _check_levels(baseline, width)
    rewards, response = _checked(token_rewards, response_mask)
    chosen = _per_row(chosen, rewards)
    if rule not in MASK_RULES:
        raise not_accepted("mask rule", rule, MASK_RULES)
    if rule == "hysteresis":
        state = hysteresis_state(rewards, response, baseline, width)
        keep = torch.where(chosen[:, None], state > 0, state < 0)
    else:
        level: Tensor | float = baseline
        if rule == "batch_mean" and response.any():
            # half precision would round the mean onto a reward
            rewards = rewards.to(torch.promote_types(rewards.dtype, torch.float32))
            level = rewards[response].mean()
        keep = torch.where(chosen[:, None], rewards > level, rewards < level)
    return (keep & response).to(token_rewards.dtype)


def hysteresis_state(token_rewards: Tensor, response_mask: Tensor, baseline: float = 0.0, width: float = 0.3) -> Tensor:
    """State (+1 or -1) of the hysteresis rule after each token, shape [rows, tokens]; see :func:`message_mask`. Found
    without a loop over time: the state is the side of the last crossing at or before the token."""
    _check_levels(baseline, width)
    rewards, response = _checked(token_rewards, response_mask)
    crossed = ((rewards > baseline + width) | (rewards < baseline - width)) & response
    steps = torch.arange(rewards.shape[1], device=rewards.device).expand_as(rewards)
    if not steps.numel():
        return steps  # no tokens, no states
    last = torch.where(crossed, steps, torch.full_like(steps, -1)).cummax(dim=1).values
    first = response.int().argmax(dim=1, keepdim=True)  # the first response token
    return torch.where(rewards.gather(1, torch.where(last >= 0, last, first)) < baseline, -1, 1)


def importance_weights(
    log_ratios: Tensor,
    response_mask: Tensor,
    chosen: Tensor,
    k: float = 1.0,
    mu: float = 1.0,
    lower: float = -0.5,
    upper: float = 1.5,
) -> Tensor:
    """Weights of TIS-DPO (Liu et al., 2024; equation 19 of the version that was reviewed):
    ``w_t = k exp(mu clamp(log pi+(y_t) - log pi-(y_t), lower, upper))``, with ``-mu`` in rejected responses.

    The bounds hold before the sign is turned: rejected tokens weigh from ``k exp(-mu upper)`` to ``k exp(-mu lower)``.
    The released code has no exponential: it turns the log-ratios of rejected tokens first, and then makes weights of
    their ranks, of what symmetric bounds leave of them, or of themselves.

    Args:
        log_ratios: log-probability of each token under the policy that prefers chosen responses, less that under the
            one that prefers rejected ones, nats, shape [rows, tokens]; values outside the response are ignored.
        response_mask: 1 on response tokens, same shape.
        chosen: boolean per row, shape [rows].
        k, mu, lower, upper: of the formula. The paper fixes ``k`` at 1 and ``mu`` at 1; see :class:`Mask`.

    Returns:
        Detached weights, 0 outside the response, shape and dtype of ``log_ratios``. UserError: as :func:`message_mask`.
    """
    ratios, response = _checked(log_ratios, response_mask)
    signs = torch.where(_per_row(chosen, ratios), 1.0, -1.0).to(ratios)
    return k * torch.exp(mu * signs[:, None] * ratios.clamp(lower, upper)) * response


def with_minimum_share(mask: Tensor, response_mask: Tensor, minimum: float = 0.1) -> tuple[Tensor, Tensor]:
    """Keep the whole response where the rule kept less than the share ``minimum`` of it: the mask, 0/1, [rows, tokens],
    and a boolean per row that says where the fallback was taken."""
    if not 0 <= minimum <= 1:
        raise UserError(f"minimum kept share: {minimum}; it must lie in [0, 1].")
    response = response_mask.bool()
    fell_back = (kept_share(mask, response) < minimum) & response.any(dim=1)
    return torch.where(fell_back[:, None], response.to(mask.dtype), mask), fell_back


def keep_eos(mask: Tensor, response_mask: Tensor, option: str = "keep") -> Tensor:
    """Decide about the last response token, which ends the turn: ``keep``, ``drop``, or leave it to the ``rule``."""
    if option not in EOS_OPTIONS:
        raise not_accepted("end-of-turn option of the mask", option, EOS_OPTIONS)
    if option == "rule" or not mask.numel():
        return mask
    response = response_mask.bool()
    steps = torch.arange(1, mask.shape[1] + 1, device=mask.device)
    last = (response * steps).argmax(dim=1, keepdim=True)
    at_end = torch.zeros_like(response).scatter(1, last, True) & response
    return torch.where(at_end, torch.full_like(mask, float(option == "keep")), mask)


def training_mask(token_rewards: Tensor, response_mask: Tensor, chosen: Tensor, options: Mask) -> tuple[Tensor, Tensor]:
    """The mask that a loss is given: :func:`message_mask` with the end of turn as asked, and whole responses where it
    kept too little; no control is applied.

    The share that the rule kept is one of the tokens it decided on: without the end of turn, which alone is a tenth of
    a short response, unless the rule decides on that too. Returns the mask, and a boolean per row that says where the
    whole response is kept instead, its end of turn included. The rule ``importance`` gives :func:`importance_weights`.
    """
    if options.rule == IMPORTANCE:
        of_formula = options.k, options.mu, options.lower, options.upper
        weights = importance_weights(token_rewards, response_mask, chosen, *of_formula)
        return keep_eos(weights, response_mask, options.eos), torch.zeros(len(weights), dtype=torch.bool).to(chosen)
    raw = message_mask(token_rewards, response_mask, chosen, options.rule, options.baseline, options.width)
    response = response_mask.to(raw.dtype)
    decided = response if options.eos == "rule" else keep_eos(response, response_mask, "drop")
    _, fell_back = with_minimum_share(raw * decided, decided, options.minimum_share)
    return torch.where(fell_back[:, None], response, keep_eos(raw, response_mask, options.eos)), fell_back


def kept_share(mask: Tensor, response_mask: Tensor) -> Tensor:
    """Share of the response tokens that ``mask`` keeps, float32, shape [rows]; 0 for a row without response."""
    response = response_mask.bool()
    return (mask.bool() & response).sum(dim=1).float() / response.sum(dim=1).clamp(min=1)


def _per_row(chosen: Tensor, rewards: Tensor) -> Tensor:
    chosen = torch.as_tensor(chosen, device=rewards.device).bool()
    if chosen.shape != rewards.shape[:1]:
        raise UserError(f"message mask: chosen has shape {tuple(chosen.shape)}; one boolean per row, [{len(rewards)}].")
    return chosen


def _check_levels(baseline: float, width: float) -> None:
    if not math.isfinite(baseline):
        raise UserError(f"mask baseline: {baseline}; it must be a finite number.")
    if not 0 <= width < math.inf:
        raise UserError(f"mask width: {width}; the half-width of the dead band must be 0 or more, and finite.")


def _checked(token_rewards: Tensor, response_mask: Tensor) -> tuple[Tensor, Tensor]:
    """Detach the rewards, set them to 0 outside the response, and refuse what cannot be a batch."""
    if token_rewards.dim() != 2 or token_rewards.shape != response_mask.shape:
        found = f"of shape {tuple(token_rewards.shape)} with a response mask of shape {tuple(response_mask.shape)}"
        raise UserError(f"token rewards {found}; both must be [rows, tokens].")
    if not token_rewards.is_floating_point():
        raise UserError(f"token rewards of dtype {token_rewards.dtype}; give them a floating dtype, as torch.float32.")
    response = response_mask.bool()
    rewards = token_rewards.detach().masked_fill(~response, 0.0)
    if not torch.isfinite(rewards).all():
        row = int((~torch.isfinite(rewards)).any(dim=1).int().argmax())
        raise UserError(f"token rewards: row {row} holds NaN or infinite values; check the states they were read from.")
    return rewards, response
