"""Token rewards r_t for AMA: how prefix values v_t of any source become them (Equilibrate RLHF, section on AMA).

Nothing released computes them. A value is used as it is (``level``) or as its increment (``difference``), centred and
scaled by constants of the training split: baseline 0 and width of the hysteresis band mean the same for every source.
"""

import itertools
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from trulysafe.common.errors import UserError, not_accepted
from trulysafe.common.files import write_json


@dataclass(frozen=True)
class TokenScale:
    """Constants of one form of token rewards: ``(r_t - centre) / scale``."""

    form: str
    centre: float
    scale: float

    def apply(self, values: Sequence[float]) -> list[float]:
        """Token rewards of one response from its prefix values."""
        return [(value - self.centre) / self.scale for value in prefix_form(values, self.form)]


UNSCALED = TokenScale("level", 0.0, 1.0)
"""Leaves values as they are: log-ratios in nats, of which the rule ``importance`` makes weights."""


def prefix_form(values: Sequence[float], form: str) -> list[float]:
    """Turn prefix values v_1..v_T into ``level`` (v_t) or ``difference`` (v_t - v_{t-1}, the first one 0)."""
    if form == "level":
        return list(values)
    return [0.0, *(after - before for before, after in itertools.pairwise(values))]


def implicit(policy_logps: Sequence[float], reference_logps: Sequence[float]) -> list[float]:
    """Implicit rewards of a DPO policy, log pi(y_t | ...) - log ref(y_t | ...), nats, of the tokens of one response."""
    return [policy - reference for policy, reference in zip(policy_logps, reference_logps, strict=True)]


def fit_scale(responses: Sequence[Sequence[float]], form: str) -> TokenScale:
    """Centre and scale (mean and standard deviation over all tokens) of a form on the training split. ``responses``
    holds the prefix values of safe and unsafe ones in equal numbers, so that the centre lies between. UserError: no
    values, or values that are not finite."""
    values = np.array([value for response in responses for value in prefix_form(response, form)])
    if not len(values) or not np.isfinite(values).all():
        found = "the prefix values of the training split are empty or not finite"
        raise UserError(f"token rewards: {found}; check the states they were read from.")
    centre, spread = float(values.mean()), float(values.std())
    # values that differ by rounding only are constant
    return TokenScale(form, centre, spread if spread > 1e-9 * max(1.0, abs(centre)) else 1.0)


def save_scales(scales: Sequence[TokenScale], path: Path | str) -> None:
    """Write the constants as JSON, by form."""
    write_json(Path(path), {scale.form: asdict(scale) for scale in scales})


def load_scale(path: Path | str, form: str) -> TokenScale:
    """Read the constants of one form (UserError: the file is missing or damaged, or lacks the form)."""
    try:
        stored = dict(json.loads(Path(path).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        do = "Delete the reward's folder and rerun its rule."
        raise UserError(f"{path}: not the constants of token rewards ({error}). {do}") from error
    if form not in stored:
        raise not_accepted("mask.form", form, stored)
    return TokenScale(**stored[form])
