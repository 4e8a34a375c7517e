"""What tells one preference method from another: a mask, a confidence and their scope."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, get_args, get_origin, get_type_hints

from trulysafe.common.errors import UserError, not_accepted
from trulysafe.reward.token_scale import FORMS

LOSSES = (
    "sigmoid", "hinge", "robust", "exo_pair", "ipo", "sigmoid_norm", "apo_zero", "apo_down", "bco_pair", "nca_pair", "sppo_hard",
    "discopop", "kto", "aot", "aot_unpaired", "sft",
)  # fmt: skip
WITHOUT_CONFIDENCE = ("aot", "aot_unpaired", "sft")
"""Losses in which a single pair's label has no place of its own."""
ONE_PROCESS = ("aot", "aot_unpaired")
"""Losses that sort the micro-batch, and so must hold all of it."""
SHIFTED_LOSSES = ("kto",)
"""Losses whose log-ratios are taken less :func:`trulysafe.methods.losses.kto_reference_point`."""
CONFIDENCES = ("none", "fixed", "label")
MASK_RULES = ("threshold", "batch_mean", "hysteresis")
MASK_CONTROLS = ("none", "random", "shuffled", "ones")
TOKEN_REWARDS = ("hybrid", "implicit", "token_rm")
EOS_OPTIONS = ("keep", "rule", "drop")
STATES = ("policy", "reference")
REWARD_SHUFFLES = ("none", "pairs", "responses")
SCOPES = ("safety", "all")
REWARD_JUDGE = "reward"
"""Name of the hybrid reward among the judges of online pairs."""


@dataclass(frozen=True)
class Confidence:
    """Label confidence gamma of the pair loss (paper A).

    Attributes:
        kind: ``none`` is plain DPO, ``fixed`` conservative DPO, ``label`` reads gamma from the hybrid reward.
        value: gamma of ``fixed``, in [0, 1].
        alpha: slope of ``label``, > 0.
        floor: smallest gamma; 0.5 never flips a label, 0 lets it.
        per_pair: one gamma per pair instead of one per micro-batch (of all processes together).
        states: whose hidden states the reward reads, the current ``policy``'s or the ``reference``'s.
        online: keep training the reward on the policy's states (only with ``states: policy``).
        learning_rate: of the online reward's own Adam.
        weight_decay: of the online reward's own Adam.
        calibrate_every: steps between refits of the calibration during online training, on the reward's validation states; 0 is never.
        shuffle: control of ``label``: gamma from the rewards of another of the micro-batch's ``pairs`` (with ``per_pair``), or from rewards
            permuted over all its ``responses``; ``none`` is no control.
    """

    kind: str = "none"
    value: float = 0.9
    alpha: float = 7.5
    floor: float = 0.5
    per_pair: bool = False
    states: str = "policy"
    online: bool = True
    learning_rate: float = 0.01
    weight_decay: float = 0.01
    calibrate_every: int = 10
    shuffle: str = "none"


@dataclass(frozen=True)
class Mask:
    """AMA token mask (paper B).

    Attributes:
        rule: ``none`` keeps every token; see :func:`trulysafe.methods.masks.message_mask` for the others.
        baseline: threshold b of ``threshold``.
        width: half-width of the ``hysteresis`` band.
        token_rewards: where r_t comes from: the ``hybrid`` reward at every token, the ``implicit`` reward of a DPO policy, or a
            token-classification reward model (``token_rm``).
        form: ``level`` is r_t itself, ``difference`` its increment.
        eos: what becomes of the end-of-turn token: `keep`, `drop`, or leave it to the `rule`.
        minimum_share: below this share of kept tokens a response is kept whole (and counted).
        control: ``random`` keeps as many tokens of each response as the rule does, but random ones; ``shuffled`` puts the segments of the
            rewards into random order; ``ones`` keeps every token; ``none`` is no control.
    """

    rule: str = "none"
    baseline: float = 0.0
    width: float = 0.3
    token_rewards: str = "hybrid"
    form: str = "level"
    eos: str = "keep"
    minimum_share: float = 0.1
    control: str = "none"


@dataclass(frozen=True)
class Online:
    """Pairs that the policy samples itself at every step (online DPO, Guo et al. 2024).

    Attributes:
        judge: what judges them: the frozen hybrid ``reward``, or a judge of the configuration by name, for which a safe response is
            better than any other; two that are both safe, or both not, make no pair.
        samples: responses per prompt and step; the best and the worst make the pair. 0 trains on the pairs as given.
        temperature: of the samples.
        top_k: sample among the k likeliest tokens; 0 is all.
        top_p: nucleus mass.
        repetition_penalty: penalty on tokens that already occur.
        max_new_tokens: token limit; a response that reaches it is not judged.
        min_gap: a pair whose calibrated rewards differ by no more than this is dropped from the step.
    """

    judge: str = REWARD_JUDGE
    samples: int = 0
    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
    repetition_penalty: float = 1.0
    max_new_tokens: int = 256
    min_gap: float = 0.0


@dataclass(frozen=True)
class Method:
    """A preference method: DPO plus what is switched on here.

    Attributes:
        loss: of a pair, see the tables of :mod:`trulysafe.methods.losses`.
        confidence: how much each label is trusted.
        mask: which tokens count.
        online: whether the policy samples its own pairs.
        reward_scope: ``safety`` applies both to risky pairs only (general and look-alike pairs get gamma 1 and a mask of ones), ``all`` to every pair.
    """

    loss: str = "sigmoid"
    confidence: Confidence = field(default_factory=Confidence)
    mask: Mask = field(default_factory=Mask)
    online: Online = field(default_factory=Online)
    reward_scope: str = "safety"

    def __post_init__(self) -> None:
        _one_of("loss", self.loss, LOSSES)
        _one_of("reward_scope", self.reward_scope, SCOPES)
        _one_of("confidence.kind", self.confidence.kind, CONFIDENCES)
        _one_of("confidence.states", self.confidence.states, STATES)
        _one_of("mask.rule", self.mask.rule, ("none", *MASK_RULES))
        _one_of("mask.token_rewards", self.mask.token_rewards, TOKEN_REWARDS)
        _one_of("mask.form", self.mask.form, FORMS)
        _one_of("mask.eos", self.mask.eos, EOS_OPTIONS)
        _one_of("mask.control", self.mask.control, MASK_CONTROLS)
        _one_of("confidence.shuffle", self.confidence.shuffle, REWARD_SHUFFLES)
        _in_range("confidence.value", self.confidence.value, 0.0, 1.0)
        _in_range("confidence.floor", self.confidence.floor, 0.0, 0.5)
        _in_range("mask.minimum_share", self.mask.minimum_share, 0.0, 1.0)
        if not 0 < self.confidence.alpha < math.inf:
            raise UserError(
                f"confidence.alpha: {self.confidence.alpha} is not accepted. Accepted: a finite number above 0."
            )
        self._check_loss()
        self._check_online()
        if not 0 <= self.mask.width < math.inf:
            raise UserError(f"mask.width: {self.mask.width} is not accepted. Accepted: a finite number, 0 or more.")
        if not math.isfinite(self.mask.baseline):
            raise UserError(f"mask.baseline: {self.mask.baseline} is not accepted. Accepted: a finite number.")
        if self.confidence.shuffle == "pairs" and not self.confidence.per_pair:
            raise UserError(
                "confidence.shuffle: 'pairs' changes nothing where gamma is one number per micro-batch. Set confidence.per_pair, or shuffle: responses."
            )

    def _check_online(self) -> None:
        """Refuse online pairs that cannot be made."""
        if self.online.samples < 0 or self.online.samples == 1:
            raise UserError(f"online.samples: {self.online.samples} is not accepted. Accepted: 0 (off), or at least 2.")
        if self.online.samples and self.online.temperature <= 0:
            raise UserError(
                f"online.temperature: {self.online.temperature} is not accepted. Accepted: a number above 0."
            )
        if self.online.samples and self.mask.rule != "none":
            raise UserError(
                "online: fresh pairs have no token rewards. Leave out the mask, or set online.samples to 0."
            )
        if self.online.judge == REWARD_JUDGE:
            return
        if not self.online.samples:
            raise UserError(
                f"online.judge: {self.online.judge!r} has nothing to judge. Set online.samples, or remove the key."
            )
        if self.online.min_gap >= 1:
            raise UserError(
                f"online.min_gap: {self.online.min_gap} would drop every pair of the judge {self.online.judge!r}, which scores 0 or 1. Accepted: below 1."
            )
        if self.confidence.kind == "label" and self.confidence.states == "reference":
            raise UserError(
                f"online.judge: {self.online.judge!r} gives no rewards, which confidence.states 'reference' would read. Set confidence.states to policy, "
                "or judge: reward."
            )

    def _check_loss(self) -> None:
        """Refuse what a loss cannot be combined with."""
        certain = self.confidence.kind == "none" or (self.confidence.kind == "fixed" and self.confidence.value > 0.5)
        if self.loss == "robust" and not certain:
            raise UserError(
                "loss: 'robust' divides by 2 gamma - 1. Accepted with confidence.kind 'fixed' and a value above 0.5, or without confidence."
            )
        if self.loss in WITHOUT_CONFIDENCE and self.confidence.kind != "none":
            raise UserError(
                f"loss: {self.loss!r} does not weigh the label of a single pair. Leave out the confidence, or choose another loss."
            )
        if self.loss in SHIFTED_LOSSES and self.mask.rule != "none":
            raise UserError(
                f"loss: {self.loss!r} holds whole responses against its reference point, which no token rewards exist for. Leave out the mask; "
                "'apo_zero' is the same loss without a reference point, and takes one."
            )
        if self.loss in SHIFTED_LOSSES and self.online.samples:
            raise UserError(
                f"loss: {self.loss!r} needs responses to other prompts under the reference, which fresh pairs have not. Set online.samples to 0."
            )

    @classmethod
    def from_mapping(cls, options: Mapping[str, Any]) -> Method:
        """Build a method from nested plain options, refusing unknown keys and wrong types.

        Raises:
            UserError: names the key and what is accepted.
        """
        return _build(cls, options, "")

    @property
    def needs_endpoint(self) -> bool:
        """Whether responses must be whole, up to their end of turn: its states are read, or its token is kept or dropped."""
        return self.reads_policy_states or self.mask.rule != "none"

    @property
    def reads_policy_states(self) -> bool:
        """Whether a training step must gather the policy's hidden states."""
        return self.confidence.kind == "label" and self.confidence.states == "policy"

    @property
    def needs_reward(self) -> bool:
        """Whether the method needs a fitted hybrid reward at all."""
        return (
            bool(self.online.samples and self.online.judge == REWARD_JUDGE)
            or self.confidence.kind == "label"
            or (self.mask.rule != "none" and self.mask.token_rewards == "hybrid")
        )


def _build(cls: type, options: Mapping[str, Any], where: str) -> Any:
    hints = get_type_hints(cls)
    known = {item.name for item in fields(cls)}
    values = {}
    for key, value in options.items():
        if key not in known:
            raise not_accepted(f"{where}{key}", key, sorted(known))
        values[key] = _convert(f"{where}{key}", value, hints[key])
    return cls(**values)


def _convert(where: str, value: Any, hint: Any) -> Any:
    if hasattr(hint, "__dataclass_fields__"):
        return value if isinstance(value, hint) else _build(hint, value, f"{where}.")
    if get_origin(hint) is not None and type(None) in get_args(hint):
        return value
    try:
        if hint is bool and not isinstance(value, bool):
            raise ValueError
        return hint(value)
    except (TypeError, ValueError) as error:
        raise UserError(f"{where}: {value!r} is not accepted. Accepted: a value of type {hint.__name__}.") from error


def _one_of(where: str, value: str, accepted: tuple[str, ...]) -> None:
    if value not in accepted:
        raise not_accepted(where, value, accepted)


def _in_range(where: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:
        raise UserError(f"{where}: {value} is not accepted. Accepted: a number from {low} to {high}.")


DPO = Method()
CDPO = Method(confidence=Confidence(kind="fixed", value=0.9))
CONFIDENCE_DPO = Method(confidence=Confidence(kind="label"))
AMA_DPO = Method(mask=Mask(rule="hysteresis"))
