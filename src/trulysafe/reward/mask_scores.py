"""How well a mask agrees with the oracle of the demo world, which knows the side of every word."""

import json
from typing import Any

import numpy as np
import pandas as pd

from trulysafe.data.demo.oracle import sides
from trulysafe.methods.parts import Mask
from trulysafe.reward.evaluate import ranked
from trulysafe.reward.masked_pairs import masked
from trulysafe.reward.token_scale import TokenScale

COLUMNS = "side risk responses tokens speaking kept precision recall dropped auc".split()
_SIGN = {"chosen": 1, "rejected": -1}


def mask_scores(pairs: pd.DataFrame, scale: TokenScale, mask: Mask, tokenizer: Any) -> pd.DataFrame:
    """Hold the mask of both responses of the demo world's pairs against what it should keep: the tokens of sentences
    that speak for the label, safe ones of chosen and unsafe ones of rejected responses.

    ``pairs`` are :func:`trulysafe.reward.masked_pairs.joined`. Only tokens that the oracle gives a side count.

    Returns:
        One row per side and risk class (``all`` first), columns :data:`COLUMNS`: numbers of ``responses`` and
        ``tokens``; shares of the tokens that are ``speaking`` for the label and that are ``kept``; ``precision``, the
        share of speaking ones among those kept (of a mask that knows nothing it is ``speaking``); ``recall``, the share
        of the speaking ones that are kept; the share of the others that are ``dropped``; and ``auc`` of the token
        rewards. Shares of nothing are NaN.
    """
    responses = [_response(row, side, scale, mask, tokenizer) for row in pairs.to_dict("records") for side in _SIGN]
    tokens = pd.concat(responses, ignore_index=True)
    groups = [group for table in (tokens.assign(risk="all"), tokens) for group in table.groupby(["side", "risk"])]
    scores = pd.DataFrame([(*place, *_scores(group)) for place, group in groups], columns=COLUMNS)
    return scores.sort_values("side", kind="stable", ignore_index=True)


def _response(row: dict, side: str, scale: TokenScale, mask: Mask, tokenizer: Any) -> pd.DataFrame:
    """The tokens of a response that have a side, that of their last character: columns speaking, kept, reward (signed:
    high speaks for the label)."""
    (ids, rewards, kept), sign = masked(row, side, scale, mask), _SIGN[side]
    of_characters = dict(enumerate(sides(json.loads(row["meta"]), row[side])))
    ends = [len(tokenizer.decode(ids[:place])) - 1 for place in range(1, len(ids))]  # the end of turn has no side
    found = sign * np.array([of_characters.get(end, 0) for end in ends])
    table = pd.DataFrame({"speaking": found > 0, "kept": kept[0, :-1].numpy() > 0, "reward": sign * rewards[0, :-1]})
    return table[found != 0].assign(response=f"{row['pair_id']} {side}", side=side, risk=row["risk"])


def _scores(tokens: pd.DataFrame) -> tuple[float, ...]:
    speaking, kept = tokens["speaking"], tokens["kept"]
    best, worst = tokens.loc[speaking, "reward"].to_numpy(), tokens.loc[~speaking, "reward"].to_numpy()
    auc = ranked(best[:, None], worst).mean() if len(best) and len(worst) else float("nan")
    shares = (speaking, kept, speaking[kept], kept[speaking], ~kept[~speaking])
    return tokens["response"].nunique(), len(tokens), *(share.mean() for share in shares), auc
