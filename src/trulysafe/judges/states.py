"""A classifier of a language model's hidden states of labelled responses, with its own held-out accuracy beside it.

The states are those of one layer at the end of the turn, or the mean over the response; later layers and the LM head
are not computed. Linear probes of hidden states: Alain and Bengio, arXiv:1610.01644. Whether a response refuses is read
from its words, unless states are asked for.
"""

from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import Field

from trulysafe.classifier.options import TEST_SHARE, Strength, TestShare
from trulysafe.common.errors import UserError
from trulysafe.common.kinds import Frame
from trulysafe.common.options import Count
from trulysafe.common.vocabulary import Pooling
from trulysafe.judges._fitted import FittedJudge, Read, artefact_of, fit_parts, judge_parts
from trulysafe.models.load import Spec


class Options(FittedJudge):
    """Which states are read, and how the classifiers are chosen and tested."""

    NEEDS: ClassVar = ("datasets", "model")

    layer: Count = Field(description="Layer whose states are read, counted from 1; later layers are not computed.")
    pooling: Pooling = "mean"
    """`mean` over the response's tokens, `mean_all` with the prompt's, `eos`: the end of turn."""
    verdicts_by: Literal["words", "states"] = "words"
    """What tells refusals from compliance: words as in the kind `classifier`, or states. With words, states are read of
    answers that comply with harmful prompts alone."""
    strengths: list[Strength] = Field([0.001, 0.01, 0.1], min_length=1)
    """Inverse penalties (scikit-learn's `C`) on states to choose from."""
    test_share: TestShare = TEST_SHARE


def fit(
    labelled: Frame, folder: Path, options: Options, model: Spec | None = None, batch_size: int = 32
) -> dict[str, Any]:
    """Fit it: :func:`trulysafe.judges._fitted.fit_parts` on states, of ``batch_size`` conversations per forward.
    UserError: no model, one without such a layer, states that are not finite, and all that the fit refuses."""
    settings = options.model_dump(include={"characters", "layer", "pooling", "verdicts_by"})

    def of_fit(part: str) -> dict[str, Any]:
        by_words = part == "verdicts" and options.verdicts_by == "words"
        states = {"features": ["states"], "strengths": options.strengths}
        return {**({} if by_words else states), "test_share": options.test_share}

    read = _reader(model, settings, batch_size)
    return fit_parts("states", labelled, folder, settings, read, of_fit, options.safe_threshold)


def judge(
    answers: Frame,
    options: Options,
    artefact: Path | str | None = None,
    model: Spec | None = None,
    batch_size: int = 32,
) -> Frame:
    """Class answers by it: :func:`trulysafe.judges._fitted.judge_parts`; ``artefact`` is the folder of its fit, and of
    ``options`` only ``safe_threshold`` counts: what is read is as it was when the judge was fitted."""
    folder, settings = artefact_of("states", artefact)
    return judge_parts(answers, folder, settings, _reader(model, settings, batch_size), options.safe_threshold)


def _reader(spec: Spec | None, settings: dict[str, Any], batch_size: int) -> Read:
    """Reads texts, or states of [D] each; the model is loaded once and every conversation read once, on demand."""
    from functools import cache

    if spec is None:
        raise UserError("judge of kind 'states' needs a language model: name one under the judge's `model`.")

    @cache
    def loaded() -> tuple[Any, Any]:
        from trulysafe.models.layer_states import keep_first_layers
        from trulysafe.models.load import load_model, load_tokenizer

        model = load_model(spec)
        keep_first_layers(model, settings["layer"])
        return model, load_tokenizer(spec)

    known: dict[tuple[str, str], Any] = {}

    def read(rows: Frame, part: str) -> list[Any]:
        from trulysafe.models.representations import extract_batches

        texts = [response.strip()[: settings["characters"]] for response in rows["response"]]
        if part == "verdicts" and settings["verdicts_by"] == "words":
            return texts
        conversations = list(zip(rows["prompt"], texts, strict=True))
        if new := [conversation for conversation in dict.fromkeys(conversations) if conversation not in known]:
            for members, states in extract_batches(*loaded(), new, settings["pooling"], batch_size):
                known.update(zip((new[row] for row in members), states[:, -1], strict=True))
        if wrong := [row for row, conversation in enumerate(conversations) if not known[conversation].isfinite().all()]:
            raise UserError(
                f"judge of kind 'states': the states of {len(wrong)} of {len(rows)} responses are not finite (row "
                f"{wrong[0]} is the first). Set models.<name>.dtype: float32 for the judge's model, or name another."
            )
        return [known[conversation].numpy() for conversation in conversations]

    return read
