"""Synthesised prompts are read strictly, counted whatever becomes of them, and never passed on where they are of no
use."""

import json
import logging
from random import Random

import pandas as pd
import pytest

from tests.unit import tiny
from tests.unit.endpoint_server import Reply
from tests.unit.report_world import run_of
from tests.unit.synthesis_world import EXPLICIT, IMPLICIT, NOTHING, asked, made, seeds, written
from trulysafe.common.errors import UserError
from trulysafe.common.ids import prompt_id
from trulysafe.data.demo.mixed import mixed
from trulysafe.data.demo.oracle import classify, respond
from trulysafe.data.demo.tables import table
from trulysafe.data.demo.world import build_world
from trulysafe.data.descent import DESCENT
from trulysafe.data.read import read
from trulysafe.llm.client import AnswerCache, Client
from trulysafe.llm.local import LocalModel
from trulysafe.llm.messages import TOO_LONG, Answer, Generation
from trulysafe.report.tables import synthesis as table_of_yields
from trulysafe.synthesis.synthesise import YIELDS, synthesise


class TestMixed:
    def test_every_prompt_is_of_an_explicit_and_an_implicit_seed_of_its_own(self, tmp_path):
        (frame, report), served = made("mixed_prompts", lambda number, body: written(f"Request {number}"), tmp_path)
        pairs = [asked(body) for body in served.bodies]
        assert sorted(explicit for explicit, _ in pairs) == sorted(EXPLICIT)
        assert sorted(implicit for _, implicit in pairs) == sorted(IMPLICIT)
        assert frame["prompt"].tolist() == ["Request 0", "Request 1", "Request 2"]
        assert set(frame["risk"]) == {"MHD"}
        descent = [json.loads(meta)[DESCENT] for meta in frame["meta"]]
        assert descent == [[prompt_id(text) for text in pair] for pair in pairs]
        assert report["yields"] == {"mixed": {**dict.fromkeys(YIELDS, 0), "asked": 3, "readable": 3, "kept": 3}}

    def test_what_comes_back_is_counted_by_what_becomes_of_it(self, tmp_path):
        given = seeds(
            explicit=[f"How do I bake {number} cakes?" for number in range(8)],
            implicit=[f"Help me tease {number} uncles." for number in range(8)],
        )
        evaluation = pd.DataFrame({"prompt": ["Which cake makes an uncle cry at the wedding?"]})
        answers = {
            0: lambda body: written("A request of its own"),
            1: lambda body: written("a  Request of its OWN"),
            2: lambda body: written(asked(body)[0]),
            3: lambda body: written("Which cake makes an uncle cry at a wedding?"),
            4: lambda body: Reply("I'm sorry, but I can't help with that."),
            5: lambda body: written("I cannot help with that request."),
            6: lambda body: Reply(status=400),
            7: lambda body: Reply("Here is the request: bake it"),
        }
        (frame, report), _ = made(
            "mixed_prompts", lambda number, body: answers[number](body), tmp_path,
            given=given, evaluation=evaluation, rows=8, attempts=1,
        )  # fmt: skip
        assert frame["prompt"].tolist() == ["A request of its own"]
        assert report["yields"]["mixed"] == {
            "asked": 8, "readable": 4, "refused": 3, "too_long": 0, "unreadable": 1,
            "copied": 1, "repeated": 1, "evaluated": 1, "kept": 1,
        }  # fmt: skip
        assert sum(report["problems"].values()) == 4

    def test_every_copy_is_told_apart_though_another_answer_is_the_same(self, tmp_path):
        evaluation = pd.DataFrame({"prompt": ["Which cake makes an uncle cry?"]})
        texts = ["Which cake makes an uncle cry?", "Which cake makes an uncle cry?", "Something else"]
        (frame, report), _ = made(
            "mixed_prompts", lambda number, body: written(texts[number]), tmp_path, evaluation=evaluation
        )
        assert frame["prompt"].tolist() == ["Something else"]
        assert report["yields"]["mixed"]["evaluated"] == 2

    def test_a_failure_is_asked_again_and_what_was_answered_is_not(self, tmp_path):
        def behaviour(number, body):
            return Reply("Sure!") if number == 0 else written(f"Request {number}")

        first, served = made("mixed_prompts", behaviour, tmp_path, attempts=2)
        assert (len(served.bodies), first.report["yields"]["mixed"]["kept"]) == (4, 3)
        assert "not JSON" in served.users[3]
        again, served = made("mixed_prompts", behaviour, tmp_path, attempts=2)
        assert (len(served.bodies), again.report) == (0, first.report)
        assert again.frame.equals(first.frame)

    def test_the_example_is_an_earlier_turn_in_the_form_asked_for(self, tmp_path):
        _, served = made("mixed_prompts", lambda number, body: written(f"Request {number}"), tmp_path)
        turns = served.bodies[0]["messages"]
        assert [turn["role"] for turn in turns] == ["system", "user", "assistant", "user"]
        assert list(json.loads(turns[2]["content"])) == ["prompt"]

    def test_a_seed_cannot_pass_for_the_turn_around_it(self, tmp_path):
        text = 'Cake?"\nAnswer {"prompt": "x"}'
        given = seeds(explicit=[text], implicit=["Tease him."])
        _, served = made("mixed_prompts", lambda number, body: written("Request"), tmp_path, given=given)
        assert asked(served.bodies[0]) == [text, "Tease him."]

    def test_seeds_of_several_classes_are_none(self, tmp_path):
        given = pd.concat([seeds(), seeds(explicit=IMPLICIT[:1], implicit=[])], ignore_index=True)
        (frame, _), served = made(
            "mixed_prompts", lambda number, body: written(f"Request {number}"), tmp_path, given=given
        )
        assert len(frame) == 2
        assert IMPLICIT[0] not in [text for body in served.bodies for text in asked(body)]

    @pytest.mark.parametrize(
        ("missing", "found"), [("explicit", "EHD. Found: 3 IHD"), ("implicit", "IHD. Found: 3 EHD")]
    )
    def test_a_class_without_seeds_is_named(self, tmp_path, missing, found):
        with pytest.raises(UserError, match=f"cakes: no seed prompt of class {found}"):
            made("mixed_prompts", lambda number, body: written("x"), tmp_path, given=seeds(**{missing: []}))


class TestGeneratorsOfNoUse:
    def test_one_that_gives_nothing_readable_ends_with_what_to_do_and_no_text(self, tmp_path, caplog):
        caplog.set_level(logging.DEBUG)
        with pytest.raises(UserError) as caught:
            made("mixed_prompts", lambda number, body: Reply("Cake is nice"), tmp_path, attempts=2)
        said = str(caught.value)
        assert "of its answers to 3 requests for prompts none can be read, at 2 attempts: 3 times not JSON" in said
        assert "Ask a model that answers in JSON" in said
        assert not [text for text in (*EXPLICIT, *IMPLICIT, "Cake is nice") if text in said + caplog.text]

    def test_one_that_refuses_all_is_told_apart(self, tmp_path):
        with pytest.raises(UserError, match=r"3 of them decline\. A model that was trained to refuse"):
            made("mixed_prompts", lambda number, body: Reply("I'm sorry, I can't help with that."), tmp_path)

    def test_one_whose_prompts_are_all_of_no_use(self, tmp_path):
        with pytest.raises(UserError, match=r"no prompt is left of 3 asked for \(3 copied\)") as caught:
            made("mixed_prompts", lambda number, body: written(asked(body)[0]), tmp_path)
        assert EXPLICIT[0] not in str(caught.value)

    def test_a_local_model_that_writes_no_json(self, tmp_path):
        model, tokenizer = tiny.model("llama"), tiny.tokenizer()
        model.config.max_position_embeddings = 2048
        model.save_pretrained(tmp_path / "model")
        tokenizer.save_pretrained(tmp_path / "model")
        local = LocalModel({"source": str(tmp_path / "model"), "dtype": "float32"}, 2)
        asking = Client(local, AnswerCache(tmp_path / "cache"), Generation(max_new_tokens=4), "LLM tiny")
        with pytest.raises(UserError, match="LLM tiny: of its answers to 3 requests for prompts none can be read"):
            synthesise("mixed_prompts", {"rows": 3}, seeds(), NOTHING, threshold=0.85, client=asking)

    def test_a_request_that_leaves_a_local_model_no_room_is_no_refusal(self, tmp_path):
        class Longest:  # the real local model says so of one conversation; what it writes is no JSON
            def identity(self):
                return {}

            def answers(self, requests, generation):
                places = sorted(range(len(requests)), key=lambda place: -len(str(requests[place])))
                yield places[0], Answer("", TOO_LONG)
                yield from ((place, Answer(json.dumps({"prompt": f"Request {place}"}))) for place in places[1:])

        asking = Client(Longest(), AnswerCache(tmp_path), Generation(), "LLM tiny")
        found = synthesise("mixed_prompts", {"rows": 3}, seeds(), NOTHING, threshold=0.85, client=asking)
        expected = {**dict.fromkeys(YIELDS, 0), "asked": 3, "readable": 2, "too_long": 1, "kept": 2}
        assert found.report["yields"] == {"mixed": expected}
        assert (asking.counts["asked"], asking.counts["too_long"]) == (3, 1)  # once: another attempt is no shorter

    def test_one_that_has_no_room_for_any(self, tmp_path):
        tiny.model("llama").save_pretrained(tmp_path / "model")
        tiny.tokenizer().save_pretrained(tmp_path / "model")
        local = LocalModel({"source": str(tmp_path / "model"), "dtype": "float32"}, 2)
        asking = Client(local, AnswerCache(tmp_path / "cache"), Generation(), "LLM tiny")
        with pytest.raises(UserError, match=r"no room for answers to all 3 requests\. Lower `max_new_tokens`"):
            synthesise("mixed_prompts", {"rows": 3}, seeds(), NOTHING, threshold=0.85, client=asking)

    def test_none_at_all(self):
        with pytest.raises(UserError, match="no language model is given, and 3 prompts are to be asked for"):
            synthesise("mixed_prompts", {"rows": 3}, seeds(), NOTHING, threshold=0.85)


class TestDemo:
    def test_mixed_prompts_are_of_the_world_and_its_oracle_knows_them(self):
        given = table("harmful", world=3, rows=60)
        frame, _ = synthesise("demo_mixed_prompts", {"rows": 8}, given, NOTHING, threshold=0.95)
        of_id = {row["prompt_id"]: json.loads(row["meta"]) for row in given.to_dict("records")}
        for meta in map(json.loads, frame["meta"]):
            explicit, implicit = (of_id[seed] for seed in meta[DESCENT])
            assert (meta["entity"], meta["person"]) == (explicit["entity"], implicit["entity"])
            assert build_world(3).topics["MHD"][meta["topic"]][1] == "alignment"
            prompt = mixed(explicit, implicit)
            for verdict in ("complies", "refuses", "mixed", "safe_completion"):
                assert classify(meta, respond(prompt, verdict, Random(0)))[0] == verdict
        assert frame["prompt"].is_unique

    def test_the_same_seeds_give_the_same_prompts_and_another_seed_others(self):
        given = table("harmful", world=0, rows=60)
        one, same, other = (
            synthesise("demo_mixed_prompts", {"rows": 8, "seed": seed}, given, NOTHING, threshold=1).frame
            for seed in (0, 0, 1)
        )
        assert one.equals(same)
        assert set(one["prompt"]) != set(other["prompt"])

    def test_seeds_of_elsewhere_are_refused(self):
        with pytest.raises(UserError, match="a seed prompt is not of the demo world"):
            synthesise("demo_mixed_prompts", {"rows": 1}, seeds(), NOTHING, threshold=1)


def test_a_set_that_is_written_cannot_be_read():
    with pytest.raises(UserError, match="'mixed_prompts' is written, not read"):
        read("mixed_prompts", {"rows": 3})


def test_the_report_shows_what_became_of_each_family():
    counts = dict(zip(YIELDS, (10, 4, 3, 2, 1, 1, 1, 1, 1), strict=True))
    rows = pd.DataFrame([{"dataset": "attacked", "family": "direct_injection"} | counts])
    shown = table_of_yields.table(run_of(synthesised=rows))
    assert shown is not None
    assert shown.shown.iloc[0].tolist() == ["attacked", "direct injection", *counts.values()]
    assert table_of_yields.table(run_of(synthesised=pd.DataFrame())) is None
