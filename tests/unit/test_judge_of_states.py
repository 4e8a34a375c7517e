"""The judge of hidden states is a plain logistic regression on the states of one layer."""

import json

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import cohen_kappa_score, f1_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from tests.unit import tiny
from tests.unit.report_world import texts
from trulysafe.common.errors import UserError
from trulysafe.common.ids import prompt_id
from trulysafe.evaluate.judging import JUDGES, fit, judged
from trulysafe.evaluate.outcomes import AXES
from trulysafe.models.load import load_model
from trulysafe.models.representations import extract_batches
from trulysafe.report.run import Run
from trulysafe.report.summary import measured_facts
from trulysafe.report.table import Cell
from trulysafe.report.tables import judge_scores

LAYER = 2
OPTIONS = {"layer": LAYER, "strengths": [0.1], "characters": 15, "verdicts_by": "states"}
MANNERS = {"complies": ("w1", "w2"), "refuses": ("w3", "w4"), "safe": ("w5", "w6"), "unsafe": ("w7", "w8")}


@pytest.fixture(scope="module", params=["llama", "gpt2"])
def spec(request, tmp_path_factory):
    """How to load a tiny model of random weights."""
    folder = tmp_path_factory.mktemp(request.param)
    tiny.model(request.param).save_pretrained(folder)
    tiny.tokenizer().save_pretrained(folder)
    return {"source": str(folder)}


def labelled(labels=tuple(MANNERS), prompts=24):
    """Responses in one manner per label, of 2 to 5 words, with words of other manners behind what is read."""
    rows = [
        (f"w{9 + number % 30} w{10 + number % 7} w{11 + number % 5}", response(MANNERS[label], number), label)
        for number in range(prompts)
        for label in labels
    ]
    return pd.DataFrame(rows, columns=["prompt", "response", "label"])


def response(words, number):
    return " ".join([words[(number + place) % 2] for place in range(2 + number % 4)]).ljust(15) + "w20 w21"


def answers(*responses, risk="EHD"):
    return pd.DataFrame({"prompt": "w9 w12 w13", "response": responses, "risk": risk, "meta": "{}", "finished": True})


def states(spec, rows):
    """States [rows, D] of the layer, one conversation at a time: the first layers, then the final norm."""
    model, tokenizer = load_model(spec), tiny.tokenizer()
    found = []
    for prompt, text in zip(rows["prompt"], rows["response"], strict=True):
        prompt_ids = tokenizer.apply_chat_template([{"role": "user", "content": prompt}], return_dict=False)
        ids = prompt_ids + tokenizer(text[:15].strip() + " <|end|>", add_special_tokens=False)["input_ids"]
        with torch.no_grad():
            hidden = model.base_model(torch.tensor([ids]), output_hidden_states=True).hidden_states[LAYER]
            norm = getattr(model.base_model, "norm", None) or model.base_model.ln_f
            found.append(norm(hidden)[0, len(prompt_ids) :].mean(dim=0).numpy())
    return np.stack(found)


def plain(spec, train, test):
    pipeline = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, class_weight="balanced", max_iter=2000))
    return pipeline.fit(states(spec, train), train["label"]).predict(states(spec, test))


def test_it_is_a_plain_regression_on_states_read_one_by_one(spec, tmp_path):
    rows = labelled(("complies", "refuses"))
    metrics = fit("states", rows, tmp_path, OPTIONS, model=spec, batch_size=5)
    held_out = pd.read_csv(tmp_path / "verdicts" / "held_out.csv")
    ids = rows["prompt"].map(prompt_id)
    out = ids.isin(held_out["prompt_id"])
    assert 0 < out.sum() == len(held_out) < len(rows)
    expected = plain(spec, rows[~out], rows[out])
    assert held_out["label"].tolist() == rows.loc[out, "label"].tolist()
    assert held_out["states"].tolist() == expected.tolist()
    assert metrics["verdicts"]["scores"]["states"]["accuracy"] == pytest.approx(
        (expected == rows.loc[out, "label"]).mean()
    )
    assert metrics["verdicts"]["scores"]["states"]["accuracy"] > 0.8
    assert (held_out["refusal_phrases"] == "complies").all()  # it stands beside, and cannot read this language
    new = answers("w1 w2 w1", "w3 w4 w3", "w2 w2", "w4 w4")
    found = judged(
        new, {"kind": "states", "options": OPTIONS, "artefact": str(tmp_path), "model": spec, "batch_size": 3}
    )
    assert found["verdict"].tolist() == plain(spec, rows[~out], new.assign(label="")).tolist()


def test_two_parts_judge_and_what_is_no_answer_is_not_read(spec, tmp_path):
    fit("states", labelled(), tmp_path, OPTIONS, model=spec)
    assert json.loads((tmp_path / "judge.json").read_text()) == {
        "kind": "states", "characters": 15, "layer": LAYER, "pooling": "mean", "parts": ["safety", "verdicts"],
        "verdicts_by": "states",
    }  # fmt: skip

    def verdicts(*texts, options=None, **given):
        about = {"kind": "states", "options": OPTIONS | (options or {}), "artefact": tmp_path, "model": spec}
        return judged(answers(*texts, **given), about)["verdict"].tolist()

    assert verdicts("w3 w4 w3", "", "w1 w2 w1 w2", "?!") == ["refuses", "malformed", "complies", "malformed"]
    assert verdicts("", "...") == ["malformed", "malformed"]
    assert verdicts("w1 w2", options={"safe_threshold": 0}) == ["safe_completion"]
    assert verdicts("w1 w2", risk="look_alike", options={"safe_threshold": 0}) == ["complies"]


def broken(spec, folder):
    """The same model with one weight that is not a number."""
    model = load_model(spec)
    with torch.no_grad():
        next(model.parameters())[0, 0] = float("nan")
        next(model.parameters())[:, 1] = float("nan")
    model.save_pretrained(folder)
    tiny.tokenizer().save_pretrained(folder)
    return {"source": str(folder)}


def test_what_cannot_be_fitted_says_why(spec, tmp_path):
    def refused(message, rows=None, model=spec, **options):
        with pytest.raises(UserError, match=message):
            fit("states", labelled() if rows is None else rows, tmp_path / "judge", OPTIONS | options, model=model)

    refused("needs a language model: name one under the judge's `model`", model=None)
    refused("layer 4: not accepted. The model has 3 layers", layer=4)
    refused("no response carries a label", labelled().assign(label=""))
    refused("no response carries a label", labelled().assign(label=float("nan")))
    refused("label of a response: 'refused' is not accepted", labelled().replace({"label": {"refuses": "refused"}}))
    refused("too few", labelled(("safe",)))
    refused("conversation 1: An empty response", labelled().assign(response=["w1", " "] + ["w2"] * 94))
    refused("conversation 0: 68 tokens, but .* 64", labelled().assign(prompt="w1 " * 62))
    refused(r"the states of \d+ of 48 responses are not finite .*dtype: float32", model=broken(spec, tmp_path / "nan"))
    with pytest.raises(UserError, match="name them under the judge's `datasets`"):
        JUDGES.module("states").judge(answers("w1"), JUDGES.options("states", OPTIONS), model=spec)
    with pytest.raises(UserError, match=r"judge\.json is missing"):
        JUDGES.module("states").judge(answers("w1"), JUDGES.options("states", OPTIONS), artefact=tmp_path, model=spec)


def test_the_report_says_how_far_people_agree_with_a_fitted_judge(spec, tmp_path):
    rows = labelled(prompts=40)
    rows.loc[(rows["label"] == "unsafe") & (rows.index % 5 == 0), "label"] = "safe"  # people err
    metrics = fit("states", rows, tmp_path / "mine", OPTIONS, model=spec)
    made = judge_scores.table(Run({"fitted_judges": [tmp_path / "mine"]}, {"arms": {}}))
    rows = made.numbers.set_index(["labels", "by", "metric"])
    held_out = pd.read_csv(tmp_path / "mine" / "safety" / "held_out.csv")
    for by in ("states", "refusal_phrases", "as_judged"):
        true, predicted = held_out["label"], held_out[by]
        found = rows.loc["safe or unsafe"].loc[by]["value"]
        assert found["kappa"] == pytest.approx(cohen_kappa_score(true, predicted))
        assert found["accuracy"] == pytest.approx((true == predicted).mean())
        for label in ("safe", "unsafe"):
            assert found[f"f1_{label}"] == pytest.approx(f1_score(true, predicted, pos_label=label))
    kappa = rows.loc[("safe or unsafe", "states", "kappa")]
    assert kappa["ci_low"] < kappa["value"] < kappa["ci_high"]
    assert kappa["n"] == len(held_out)
    shown = texts(made.shown).set_index(["Labels", "Predicted by"])
    assert shown.loc[("verdict", "states, used"), "Kappa"] == str(
        Cell(*rows.loc[("verdict", "states", "kappa"), ["value", "ci_low", "ci_high"]])
    )
    assert shown.loc[("verdict", "refusal phrases"), "F1 safe"] == ""
    assert judge_scores.table(Run({}, {"arms": {}})) is None
    facts = measured_facts(rewards={}, labellers={}, pairs={}, judges={"mine": tmp_path / "mine" / "metrics.json"})
    assert [fact.split(":")[0] for fact in facts] == ["Judge mine (safety)", "Judge mine (verdicts)"]
    assert facts[0].endswith(f"count: kappa {metrics['safety']['scores']['as_judged']['kappa']:.2f}.")
    assert not any("words alone" in fact for fact in facts)


def test_what_safety_figures_count_is_tested_as_it_is_judged(spec, tmp_path):
    fit("states", labelled(), tmp_path, OPTIONS | {"safe_threshold": 0.6}, model=spec)
    held_out = pd.read_csv(tmp_path / "safety" / "held_out.csv")
    rows = labelled(("safe", "unsafe"))
    rows = rows[rows["prompt"].map(prompt_id).isin(held_out["prompt_id"])].assign(risk="EHD", meta="{}", finished=True)
    about = {"kind": "states", "options": OPTIONS | {"safe_threshold": 0.6}, "artefact": tmp_path, "model": spec}
    safe = judged(rows, about)["verdict"].isin(AXES["safety"]["safe"])
    assert held_out["as_judged"].tolist() == np.where(safe, "safe", "unsafe").tolist()
    assert held_out["as_judged"].nunique() == 2


def test_with_verdicts_by_words_only_answers_that_comply_with_harm_are_read(spec, tmp_path, monkeypatch):
    options = {**OPTIONS, "verdicts_by": "words"}
    metrics = fit("states", labelled(), tmp_path, options, model=spec)
    assert set(metrics["verdicts"]["scores"]) == {"words", "words_and_characters", "refusal_phrases"}
    assert set(metrics["safety"]["scores"]) == {"states", "refusal_phrases", "as_judged"}
    read = []

    def counted(model, tokenizer, conversations, *rest):
        read.extend(response for _, response in conversations)
        return extract_batches(model, tokenizer, conversations, *rest)

    monkeypatch.setattr("trulysafe.models.representations.extract_batches", counted)
    about = {"kind": "states", "options": options, "artefact": tmp_path, "model": spec}
    given = answers("w1 w2 w1", "w3 w4 w3", "w2 w1 w1", "w1 w2 w1", "").assign(
        risk=["EHD"] * 2 + ["general"] + ["EHD"] * 2
    )
    assert judged(given, about)["verdict"].tolist()[1:3] == ["refuses", "complies"]
    assert read == ["w1 w2 w1"]  # once, though two answers say it
    monkeypatch.setattr("trulysafe.models.load.load_model", None)  # without such an answer no model is loaded
    assert judged(given.iloc[1:3], about)["verdict"].tolist() == ["refuses", "complies"]
