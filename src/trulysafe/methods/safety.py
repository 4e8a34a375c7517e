"""SafeDPO (Kim et al., 2025, arXiv 2505.20065): which response of a pair is safe, and what that makes of the pair.

The paper's data say of each response whether it is unsafe (h = 1). Pairs that a reward ranked do not: there a response
is unsafe where its calibrated reward is below a threshold, 0 by default.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from trulysafe.common.errors import UserError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray


def safe_order(chosen_unsafe: ArrayLike, rejected_unsafe: ArrayLike) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Transformation T of SafeDPO (equation 11): which pairs are kept, and whose responses change sides.

    ============= =============== =========================================
    chosen        rejected        the pair
    ============= =============== =========================================
    safe          safe or unsafe  stays as it is
    unsafe        safe            is turned round: the safe one is preferred
    unsafe        unsafe          is left out
    ============= =============== =========================================

    Args:
        chosen_unsafe, rejected_unsafe: boolean per pair, shape [pairs].

    Returns:
        Kept and turned, boolean, each [pairs]; a pair that is turned is kept. UserError: the shapes differ.
    """
    chosen, rejected = np.asarray(chosen_unsafe, dtype=bool), np.asarray(rejected_unsafe, dtype=bool)
    if chosen.shape != rejected.shape:
        found = f"labels of shape {chosen.shape} and {rejected.shape}"
        raise UserError(f"safety of pairs: {found}; give one per response, both of shape [pairs].")
    return ~(chosen & rejected), chosen & ~rejected
