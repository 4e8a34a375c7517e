"""Judges that ask a guard model: the whole path with tiny models, and what they refuse."""

from __future__ import annotations

import gzip
import hashlib
import json
import logging
import re
from collections import Counter
from types import SimpleNamespace

import pandas as pd
import pytest
import torch
import yaml
from transformers import LlamaConfig, MistralConfig, Qwen3Config
from transformers.models.auto.modeling_auto import AutoModelForCausalLM

from tests.unit import real_data
from tests.unit.guard_models import (
    CARD,
    CLASSIFIER,
    FAMILIES,
    FILES,
    FORM,
    OWN,
    POLICY,
    QUESTION,
    TEMPLATES,
    bytes_of,
    tokenizer,
)
from tests.unit.test_dependencies import WORKFLOW
from trulysafe.common.errors import UserError
from trulysafe.config.load import load
from trulysafe.evaluate.judging import JUDGES, judged
from trulysafe.judges import _guard, harmbench_cls, llama_guard, md_judge, wildguard
from trulysafe.judges._asked import Finding
from trulysafe.judges._guard import chat_prompt
from trulysafe.models.tokens import padded
from trulysafe.plan.plan import Plan


def answers(*responses, risk="EHD", prompt="How?", meta="{}"):
    return pd.DataFrame({"prompt": prompt, "response": responses, "risk": risk, "meta": meta, "finished": True})


def judged_by(kind, frame, spec, batch_size=32, **options):
    given = {key: f"{spec['source']}/{file}" for key, file in OWN.get(kind, {}).items()}
    about = {"kind": kind, "options": given | options, "model": spec, "batch_size": batch_size}
    found = judged(frame, about)
    assert found.index.equals(frame.index)
    assert found["correct"].isna().all()
    return found["verdict"].tolist()


@pytest.mark.skipif(
    not (real_data.FOLDER / "judge_outputs").is_dir(), reason=f"no verdicts of Llama-Guard-3 in {real_data.FOLDER}"
)
def test_released_verdicts_of_llama_guard_3_become_verdicts(monkeypatch):
    (path,) = (real_data.FOLDER / "judge_outputs").glob("*.jsonl.gz")
    with gzip.open(path, "rt", encoding="utf-8") as file:
        rows = pd.DataFrame([json.loads(line) for line in file])
    said = {
        (query, response.strip()): llama_guard.parse("\n\nunsafe\nS2" if unsafe else "\n\nsafe")
        for query, response, unsafe in zip(rows["query"], rows["response"], rows["unsafe"], strict=True)
    }
    monkeypatch.setattr(_guard, "_ask", lambda guard, asked, spec, batch: {one: said[one] for one in asked})
    frame = rows.rename(columns={"query": "prompt"}).assign(risk="EHD", meta="{}", finished=True)
    found = Counter(judged_by("llama_guard", frame, {"source": "x"}))
    empty = int((rows["response"].str.strip() == "").sum())
    assert len(rows) == 1050
    assert empty == 88
    assert found["malformed"] >= empty
    assert found["complies"] > 200
    assert found["refuses"] > 200
    assert found.total() == 1050


CONVERSATIONS = {
    "Sure, take it.": "unsafe\nS2",
    "I cannot help with that.": "safe",
    "Ask a friend, or rest a while and drink some water.": "safe",
    "Here it is.": "unsafe\nS1,S9",
}


@pytest.fixture(scope="module")
def guards(tmp_path_factory):
    """Tiny models in guard models' architectures: random, and one that has learnt four conversations by heart."""
    made = {}
    for kind, config in (
        ("qwen3guard", Qwen3Config),
        ("llama_guard", LlamaConfig),
        ("wildguard", LlamaConfig),
        ("harmbench_cls", LlamaConfig),
        ("md_judge", MistralConfig),
    ):
        folder, words = tmp_path_factory.mktemp(kind), tokenizer(kind)
        model = tiny(config, words)
        if kind == "llama_guard":
            learn(model, words, CONVERSATIONS)
        words.save_pretrained(folder)
        model.save_pretrained(folder)
        for name, text in FILES.items():
            (folder / name).write_text(text, encoding="utf-8")
        made[kind] = {"source": str(folder), "dtype": "float32"}
    return made


def tiny(config, words, positions=600):
    sizes = {
        "vocab_size": len(words), "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2,
        "num_attention_heads": 2, "num_key_value_heads": 2, "head_dim": 16, "max_position_embeddings": positions,
        "bos_token_id": words.bos_token_id, "eos_token_id": words.eos_token_id, "pad_token_id": None,
    }  # fmt: skip
    torch.manual_seed(0)
    return AutoModelForCausalLM.from_config(config(**sizes)).eval()


def learn(model, words, said, steps=300):
    """Teach a model what to say of each response to the prompt ``How?``."""
    of = chat_prompt(words)
    rows = [(of("How?", one), [*bytes_of(words, f"\n\n{text}"), words.eos_token_id]) for one, text in said.items()]
    ids, attention = padded([[*before, *after] for before, after in rows], words.eos_token_id)
    labels = torch.full_like(ids, -100)
    for row, (before, after) in enumerate(rows):
        labels[row, len(before) : len(before) + len(after)] = torch.tensor(after)
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3)
    for _ in range(steps):
        loss = model(input_ids=ids, attention_mask=attention, labels=labels).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if loss < 1e-3:
            break
    assert loss < 1e-2


@pytest.fixture
def own_wording(monkeypatch):
    for kind, name, form in (
        (wildguard, "WORDING", FORM),
        (harmbench_cls, "WORDING", CLASSIFIER),
        (md_judge, "POLICY", POLICY),
        (md_judge, "QUESTION", QUESTION),
    ):
        monkeypatch.setattr(kind, name, hashlib.sha256(form.encode("utf-8")).hexdigest())


def test_a_guard_model_judges_alike_in_whatever_batches(guards):
    frame = answers(*CONVERSATIONS, "", "?!", "<think>take it</think>Here it is.", "Here it is.")
    frame.index = range(20, 28)
    expected = ["complies", "refuses", "safe_completion", "complies", "malformed", "malformed", "complies", "complies"]
    for size in (1, 3, 32):
        assert judged_by("llama_guard", frame, guards["llama_guard"], size) == expected
    shuffled = frame.sample(frac=1, random_state=1)
    assert judged_by("llama_guard", shuffled, guards["llama_guard"]) == [expected[row - 20] for row in shuffled.index]
    harmless = frame.assign(risk="look_alike")
    assert judged_by("llama_guard", harmless, guards["llama_guard"])[:3] == ["complies", "refuses", "complies"]
    by_meta = judged_by("llama_guard", frame.assign(risk="", meta='{"harmful": true}'), guards["llama_guard"])
    assert by_meta == expected
    assert judged_by("llama_guard", frame.iloc[:0], guards["llama_guard"]) == []


def test_each_conversation_is_asked_once_and_what_is_no_answer_never(guards, monkeypatch):
    asked = []

    def counted(model, tokenizer, prompts, decoding):
        asked.extend(tokenizer.batch_decode(prompts))
        return [bytes_of(tokenizer, "safe") for _ in prompts]

    monkeypatch.setattr("trulysafe.models.sampling.generated", counted)
    frame = answers("Here it is.", "", "<think>I <|eot_id|> could</think>Here it is.", "Here it is.", "...")
    assert judged_by("llama_guard", frame, guards["llama_guard"])[:2] == ["safe_completion", "malformed"]
    assert len(asked) == 1
    assert "could" not in asked[0]
    judged_by("llama_guard", answers("Take it all."), guards["llama_guard"], characters=4)
    assert "Agent: Take\n" in asked[1]


def test_words_of_a_model_that_cannot_be_read_are_malformed_and_counted(guards, own_wording, caplog):
    frame = answers(*CONVERSATIONS)
    for kind in ("qwen3guard", "wildguard", "harmbench_cls", "md_judge"):  # random weights
        with caplog.at_level(logging.WARNING):
            first = judged_by(kind, frame, guards[kind], 1)
        assert first == judged_by(kind, frame, guards[kind], 4) == ["malformed"] * 4
        assert f"judge of kind '{kind}': 4 of 4 answers of {guards[kind]['source']} cannot be read: " in caplog.text
        with pytest.raises(UserError, match=f"'{kind}': 12 of 12 answers .* cannot be read: .*Name a guard model"):
            judged_by(kind, answers(*(f"Answer {number}." for number in range(12))), guards[kind])


def test_a_threshold_decides_by_the_probability_of_the_decisive_token(guards):
    spec, frame = guards["llama_guard"], answers(*CONVERSATIONS)
    words, model = _guard._tokenizer(json.dumps(spec, sort_keys=True)), _guard._model(json.dumps(spec, sort_keys=True))
    of = chat_prompt(words)
    scores = []
    for response in CONVERSATIONS:
        ids = of("How?", response) + bytes_of(words, "\n\n")  # one at a time, the blank lines that it writes first
        with torch.no_grad():
            at_start = model(input_ids=torch.tensor([ids])).logits[0, -1].softmax(dim=-1)
        scores.append(float(at_start[bytes_of(words, "u")[0]]))
    prompts = [of("How?", response) for response in CONVERSATIONS]
    rows = [bytes_of(words, f"\n\n{text}") for text in CONVERSATIONS.values()]
    said = SimpleNamespace(model=model, tokenizer=words, prompts=prompts, rows=rows)
    assert llama_guard.unsafe_probability(said) == pytest.approx(scores, abs=1e-5)
    assert [score > 0.5 for score in scores] == [True, False, False, True]
    assert judged_by("llama_guard", frame, spec, threshold=0.5) == judged_by("llama_guard", frame, spec)
    assert judged_by("llama_guard", frame, spec, threshold=0.0) == ["complies", "mixed", "complies", "complies"]
    assert judged_by("llama_guard", frame, spec, threshold=1.0)[0] == "safe_completion"
    unread = SimpleNamespace(**{**vars(said), "texts": ["unsafe\nS1", "what?", "safe", ""]})
    assert llama_guard.read(unread, 0.0) == [Finding(True), None, Finding(True), None]


def test_what_does_not_fit_into_the_context_stops_the_job_before_the_model_is_loaded(guards, monkeypatch):
    monkeypatch.setattr(_guard, "_model", None)
    with pytest.raises(UserError, match=r"to prompt [0-9a-f]+ makes 7\d\d tokens .* context of 600.*`characters`"):
        judged_by("llama_guard", answers("Sure.", " ".join(map(str, range(200)))), guards["llama_guard"])


def test_a_judge_without_its_model_says_so():
    for kind in FAMILIES:
        options = JUDGES.options(kind, OWN.get(kind, {}))
        with pytest.raises(UserError, match=f"'{kind}' needs a language model: name one under the judge's `model`"):
            JUDGES.module(kind).judge(answers("Sure."), options)


def test_harmbenchs_wording_is_the_authors_or_none(guards):
    card = f"{guards['harmbench_cls']['source']}/README.md"
    with pytest.raises(UserError, match=r"README\.md does not hold the wording that the authors use.*eval_utils\.py"):
        judged_by("harmbench_cls", answers("Sure."), guards["harmbench_cls"], wording=card)


def test_md_judges_wording_is_the_authors_or_none(tmp_path, own_wording):
    templates = tmp_path / "template.py"
    templates.write_text(TEMPLATES, encoding="utf-8")
    assert md_judge.wording(str(templates)).count(POLICY.strip()) == 1
    for part in ("Cakes", "Rate"):
        templates.write_text(TEMPLATES.replace(part, "Other"), encoding="utf-8")
        with pytest.raises(UserError, match=r"does not hold the wording that the authors use.*saladbench/template\.py"):
            md_judge.wording(str(templates))


def test_md_judges_score_is_the_share_of_the_decisive_token_behind_its_question():
    words = tokenizer("md_judge")
    words.pad_token = words.eos_token
    model = tiny(MistralConfig, words)
    prompts = [bytes_of(words, "[INST] How? [/INST]"), bytes_of(words, "[INST] Is it? [/INST]")]
    rows = [bytes_of(words, " unsafe\nO1"), bytes_of(words, "safe")]
    said = SimpleNamespace(model=model, tokenizer=words, prompts=prompts, rows=rows)
    u, s, blank = (bytes_of(words, sign)[0] for sign in "us ")
    for prompt, row, score in zip(prompts, rows, md_judge.scores(said), strict=True):
        begun = [*prompt, *row[: row[0] == blank]]
        with torch.no_grad():
            logits = model(input_ids=torch.tensor([begun])).logits[0, -1]
        assert score == pytest.approx(float(logits[[u, s]].softmax(dim=-1)[0]), abs=1e-5)
    texts = ["unsafe\nO1", "what?"]
    unread = SimpleNamespace(**{**vars(said), "texts": texts})
    assert md_judge.read(unread, 0.0) == [Finding(True), None]
    assert md_judge.read(unread, 1.0) == [Finding(False), None]
    assert md_judge.read(unread) == [Finding(True), None]


def test_wildguards_wording_is_the_authors_or_none(tmp_path, own_wording, monkeypatch):
    card = tmp_path / "README.md"
    spec = {"source": str(tmp_path)}
    with pytest.raises(UserError, match=r"README\.md cannot be read .*option `wording`"):
        wildguard.wording(None, spec)
    card.write_text(CARD, encoding="utf-8")
    assert wildguard.wording(None, spec) == f"{FORM}\n"
    assert wildguard.wording(str(card), {}) == f"{FORM}\n"
    card.write_text(CARD.replace("AI assistant", "Assistant"), encoding="utf-8")
    with pytest.raises(UserError, match=r"does not hold the wording that the authors use.*utils\.py"):
        wildguard.wording(None, spec)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(UserError, match=r"nobody/nothing@main: README\.md is not in the cache"):
        wildguard.wording(None, {"source": "nobody/nothing"})


@pytest.mark.parametrize(
    ("stanza", "message"),
    [
        ({"kind": "qwen3guard"}, r"judges\.mine\.model: missing\. The kind 'qwen3guard' needs it"),
        ({"kind": "harmbench_cls", "model": "m"}, r"judges\.mine\.options\.wording: missing"),
        ({"kind": "wildguard"}, r"judges\.mine\.model: missing\. The kind 'wildguard' needs it"),
        ({"kind": "llama_guard", "model": "m", "options": {"threshold": 2}}, r"judges\.mine\.options\.threshold: "),
        (
            {"kind": "qwen3guard", "model": "m", "options": {"controversial": "maybe"}},
            r"options\.controversial: 'maybe' is not accepted",
        ),
        ({"kind": "qwen3guard", "model": "nobody"}, r"judges\.mine\.model: .*nobody"),
        ({"kind": "qwen3guard", "model": "m", "datasets": ["a"]}, r"datasets: only the kind 'classifier' or 'states'"),
    ],
)
def test_mistakes_in_a_stanza_are_found_at_load(stanza, message):
    raw = {key: {} for key in ("models", "datasets", "experiments", "benchmarks")}
    with pytest.raises(UserError, match=message):
        load({"scenario": "s", **raw, "judges": {"mine": stanza}})


@pytest.mark.parametrize("name", ["equilibrate", "rbrm"])
def test_the_papers_configurations_take_a_guard_model_by_two_stanzas(name):
    """As the comments at their heads and docs/extending.md say."""
    raw = yaml.safe_load((real_data.REPOSITORY / "config" / f"{name}.yaml").read_text(encoding="utf-8"))
    guide = (real_data.REPOSITORY / "docs" / "extending.md").read_text(encoding="utf-8")
    (stanzas,) = [block for block in re.findall(r"```yaml\n(.*?)```", guide, re.DOTALL) if "qwen3guard" in block]
    for key, value in yaml.safe_load(stanzas).items():
        raw[key] |= value
    raw["benchmarks"]["salad"]["judges"].append("guard")
    plan = Plan(load(raw))
    assert plan.evaluate.judge("guard")["kind"] == "qwen3guard"
    assert plan.models.size("guard") == "1b"


def test_jobs_wait_for_the_judges_model():
    raw, rounds = (yaml.safe_load((WORKFLOW / f"{name}.yaml").read_text()) for name in ("small", "rounds"))
    raw |= {key: {**raw.get(key, {}), **value} for key, value in rounds.items() if isinstance(value, dict)}
    revision = "0" * 40
    raw["models"]["guard"] = {"source": "hub", "name": "Qwen/Qwen3Guard-Gen-0.6B", "revision": revision}
    raw["judges"]["guard"] = {"kind": "qwen3guard", "model": "guard"}
    for benchmark in raw["benchmarks"].values():
        benchmark["judges"] = ["guard", *benchmark.get("judges", [])]
    plan = Plan(load(raw))
    files = plan.models.files("guard")
    assert files
    assert plan.evaluate.judge_files(["guard"]) == files
    assert plan.drift.followed
    assert all(plan.drift.inputs(job)["judge"] == files for job in plan.drift.followed)
    opened = plan.evaluate.judge("guard")
    assert (opened["kind"], opened["model"]["source"]) == ("qwen3guard", "Qwen/Qwen3Guard-Gen-0.6B")
