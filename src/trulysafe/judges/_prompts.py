"""What a judge knows of the prompt that an answer is to."""

import json

from trulysafe.common.kinds import Frame


def to_harmful_prompts(answers: Frame) -> list[bool]:
    """Whether each answer is to a harmful prompt: by the prompt's class in ``risk``, or by ``meta.harmful``."""
    from trulysafe.common.schema import HARMFUL_RISKS

    rows = zip(answers["risk"], answers["meta"], strict=True)
    return [risk in HARMFUL_RISKS or json.loads(meta).get("harmful") is True for risk, meta in rows]
