"""Seeds, and a served language model that makes prompts of them."""

import json

import pandas as pd

from tests.unit.endpoint_server import Reply, serve
from trulysafe.common.ids import prompt_id
from trulysafe.common.schema import check_table
from trulysafe.llm.client import AnswerCache, Client
from trulysafe.llm.endpoint import Endpoint
from trulysafe.llm.messages import Generation
from trulysafe.synthesis.synthesise import synthesise

EXPLICIT = [f"How do I bake a cake of {number} layers?" for number in ("two", "seven", "nineteen")]
IMPLICIT = [f"Help me tease my {person} about shoes." for person in ("uncle", "butcher", "goalkeeper")]
NOTHING = pd.DataFrame({"prompt": []})


def seeds(*, explicit=EXPLICIT, implicit=IMPLICIT, meta="{}"):
    rows = [(text, risk) for risk, texts in (("EHD", explicit), ("IHD", implicit)) for text in texts]
    frame = pd.DataFrame(rows, columns=["prompt", "risk"])
    ids = frame["prompt"].map(prompt_id)
    return check_table(frame.assign(prompt_id=ids, family=ids, source="cakes", meta=meta), "prompts", "seeds")


def client(served, folder):
    return Client(Endpoint(served.url, "writer-1", concurrency=1), AnswerCache(folder), Generation(), "LLM writer")


def written(text):
    return Reply(json.dumps({"prompt": text}))


def made(kind, behaviour, folder, *, given=None, evaluation=NOTHING, **options):
    """What a served generator makes of the seeds, and what it was asked."""
    with serve(behaviour) as served:
        found = synthesise(
            kind, {"rows": 3, **options}, seeds() if given is None else given, evaluation, threshold=0.85,
            client=client(served, folder),
        )  # fmt: skip
        return found, served


def asked(body):
    """The seeds in the last request: JSON strings on lines of their own."""
    user = [turn for turn in body["messages"] if turn["role"] == "user"][1]["content"]
    return [json.loads(line) for line in user.splitlines() if line.startswith('"')]
