"""A language model in the role of a safety reviewer, which analyses first and decides second; nothing is fitted."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from pydantic import Field

from trulysafe.classifier.options import TEST_SHARE, TestShare
from trulysafe.common.errors import UserError
from trulysafe.common.kinds import Frame
from trulysafe.common.kinds import Options as Base
from trulysafe.common.options import Count

NAME = "llm"
BASELINE = "words"


class Options(Base):
    """How the model is asked and tested."""

    NEEDS: ClassVar = ("llm",)
    READS: ClassVar = ("datasets",)

    attempts: Count = Field(3, description="Times that it is asked at most; what cannot be read is `unparsed`.")
    rows: Count | None = Field(None, description="Held-out prompts to test it on at most, lowest hashes first.")
    test_share: TestShare = TEST_SHARE


def open_client(**arguments: Any) -> Any:
    """The client of the model, see :func:`trulysafe.llm.client.open_client`."""
    from trulysafe.llm import client

    return client.open_client(**arguments)


def fit(labelled: Frame, folder: Path, options: Options, client: Any) -> dict[str, Any]:
    """Score the model on held-out prompts beside the baseline of a fitted labeller, and write ``held_out.csv``.

    That holds prompt_id, label, and the classes by baseline and reviewer; classes that the reviewer cannot name are
    left out. Returns metrics as of a fitted labeller; ``unparsed`` counts the held-out rows without a readable answer,
    which count as wrong, and ``problems`` says why. Without labelled prompts nothing is tested.
    """
    from trulysafe.classifier.fit_and_test import fit_and_test, score
    from trulysafe.common.schema import UNPARSED
    from trulysafe.data.roles import at_most
    from trulysafe.label.agreement import about
    from trulysafe.label.reviewer import CLASSES

    if labelled.empty:
        return {}
    rows = labelled[labelled["risk"].isin(CLASSES.values())]
    prompts, where = rows["prompt"].tolist(), "labeller of kind 'llm'"
    how: dict[str, Any] = {"test_share": options.test_share, "features": (BASELINE,), "where": where}
    tested = fit_and_test(prompts, prompts, rows["risk"].tolist(), **how)
    held_out = at_most(tested.held_out, options.rows)
    texts = dict(zip(rows["prompt_id"], prompts, strict=True))
    asked = list(dict.fromkeys(held_out["prompt_id"]))
    risks, problems = _ask([texts[identifier] for identifier in asked], [False] * len(asked), client, options)
    held_out[NAME] = held_out["prompt_id"].map(dict(zip(asked, risks, strict=True)))
    held_out.to_csv(folder / "held_out.csv", index=False)
    true = held_out["label"].tolist()
    scores = {name: score(true, held_out[name].tolist()) for name in (BASELINE, NAME)}
    scores[BASELINE] = {**tested.metrics["scores"][BASELINE], **scores[BASELINE]}
    unparsed = int((held_out[NAME] == UNPARSED).sum())
    found = {"chosen": NAME, "scores": scores, "unparsed": unparsed, "problems": problems}
    return {**tested.metrics, **found, **about(labelled)}


def label(frame: Frame, artefact: Path, options: Options, client: Any) -> Frame:
    """Give empty rows the class that the model names, ``unparsed`` where no attempt could be read."""
    from trulysafe.label.labelling import filled

    return filled(frame, NAME, lambda prompts, harmful: _ask(prompts, harmful.tolist(), client, options)[0])


def _ask(
    prompts: Sequence[str], harmful: Sequence[bool], client: Any, options: Options
) -> tuple[list[str], Mapping[str, int]]:
    """Classes of prompts, and how often each reason of there being none occurred."""
    from trulysafe.common.schema import UNPARSED
    from trulysafe.label.reviewer import review, risk_of
    from trulysafe.llm.structured import nothing_read

    if client is None:
        raise UserError("labeller of kind 'llm': no client was given. Open one with trulysafe.llm.client.open_client.")
    outcomes = review(client, prompts, harmful, options.attempts)
    problems = Counter(outcome.problem for outcome in outcomes if outcome.value is None)
    if problems.total() == len(outcomes) > 1:
        raise UserError(nothing_read(client, outcomes, options.attempts, "prompts"))
    return [risk_of(outcome, UNPARSED) for outcome in outcomes], dict(sorted(problems.items()))
