"""Labeller of kind ``llm``: nothing is fitted; it is tested on the held-out prompts of a fitted labeller, beside the same baseline."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from trulysafe.classifier.fit_and_test import fit_and_test, score
from trulysafe.common.errors import UserError
from trulysafe.common.schema import UNPARSED
from trulysafe.data.roles import at_most
from trulysafe.label.reviewer import CLASSES, review, risk_of
from trulysafe.llm.client import Client

NAME = "llm"
BASELINE = "words"


def test(labelled: pd.DataFrame, folder: Path, client: Client, options: Mapping[str, Any]) -> dict[str, Any]:
    """Score the reviewer on held-out prompts, and write ``held_out.csv``.

    Args:
        labelled: prompts with their ``risk``; classes that the reviewer cannot name are left out.
        folder: where ``held_out.csv`` goes: prompt_id, label, and the classes by baseline and reviewer.
        client: the language model.
        options: ``test_share`` of the prompts is held out, by hash; of these the reviewer sees ``rows`` at most, lowest hashes first; it
            gets ``attempts`` per prompt.

    Returns:
        Metrics as of a fitted labeller; ``unparsed`` counts the held-out rows without a readable answer, which count as wrong, and
        ``problems`` says why.
    """
    rows = labelled[labelled["risk"].isin(CLASSES.values())]
    prompts = rows["prompt"].tolist()
    tested = fit_and_test(
        prompts,
        prompts,
        rows["risk"].tolist(),
        test_share=float(options.get("test_share", 0.25)),
        features=(BASELINE,),
        where="labeller of kind 'llm'",
    )
    held_out = at_most(tested.held_out, options.get("rows"))
    texts = dict(zip(rows["prompt_id"], prompts, strict=True))
    asked = list(dict.fromkeys(held_out["prompt_id"]))
    risks, problems = ask([texts[identifier] for identifier in asked], [False] * len(asked), client, options)
    held_out[NAME] = held_out["prompt_id"].map(dict(zip(asked, risks, strict=True)))
    held_out.to_csv(folder / "held_out.csv", index=False)
    true = held_out["label"].tolist()
    scores = {name: score(true, held_out[name].tolist()) for name in (BASELINE, NAME)}
    scores[BASELINE] = {**tested.metrics["scores"][BASELINE], **scores[BASELINE]}
    return {
        **tested.metrics,
        "chosen": NAME,
        "scores": scores,
        "unparsed": int((held_out[NAME] == UNPARSED).sum()),
        "problems": problems,
    }


def ask(
    prompts: Sequence[str], harmful: Sequence[bool], client: Client | None, options: Mapping[str, Any]
) -> tuple[list[str], dict[str, int]]:
    """Classes of prompts, ``unparsed`` where no attempt could be read, and how often each reason of that occurred."""
    if client is None:
        raise UserError("labeller of kind 'llm': no client was given. Open one with trulysafe.llm.opening.open_client.")
    outcomes = review(client, prompts, harmful, int(options.get("attempts", 3)))
    problems = Counter(outcome.problem for outcome in outcomes if outcome.value is None)
    return [risk_of(outcome, UNPARSED) for outcome in outcomes], dict(sorted(problems.items()))
