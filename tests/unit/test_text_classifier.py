"""The classifier learns, is stored without pickle, and comes back the same; held-out scores are of unseen prompts."""

import json
from typing import get_args

import numpy as np
import pytest
from sklearn.metrics import f1_score
from skops.io import dump, get_untrusted_types

from trulysafe.classifier.fit_and_test import fit_and_test, prompt_groups, save_tested, score
from trulysafe.classifier.options import Features, FitOptions
from trulysafe.classifier.text_classifier import FEATURES, FILE, TRUSTED, TextClassifier
from trulysafe.common.errors import UserError
from trulysafe.common.ids import prompt_id

FRUIT, TOOLS = ("apple", "pear", "plum", "cherry"), ("hammer", "saw", "drill", "wrench")
CITIES = [
    f"{name}{end}"
    for name in ("Lon", "Par", "Ber", "Mad", "Osl", "Hel", "Vien", "Pra")
    for end in ("a", "elo", "ington", "ovia", "u")
]
TEXTS = [f"the {word} from {city}" for city in CITIES for word in FRUIT + TOOLS]
LABELS = ["fruit" if any(word in text for word in FRUIT) else "tool" for text in TEXTS]


class Stranger:
    """A type that no library brings."""


@pytest.mark.parametrize("features", FEATURES)
def test_a_reloaded_classifier_gives_identical_probabilities(tmp_path, features):
    classifier = TextClassifier.fit(TEXTS, LABELS, features=features, strength=3.0)
    classifier.save(tmp_path / "model")
    again = TextClassifier.load(tmp_path / "model")
    texts = [*TEXTS[:20], "", "nothing known 中文", "ApPlE saw"]
    assert np.array_equal(classifier.predict_proba(texts), again.predict_proba(texts))
    assert classifier.classes == again.classes == ["fruit", "tool"]
    assert {path.suffix for path in (tmp_path / "model").iterdir()} == {".skops"}


def test_the_file_names_no_type_that_is_not_trusted_and_another_one_is_refused(tmp_path):
    TextClassifier.fit(TEXTS, LABELS, features="words_and_characters").save(tmp_path)
    assert tuple(get_untrusted_types(file=tmp_path / FILE)) == TRUSTED == ()
    dump(Stranger(), tmp_path / FILE)
    with pytest.raises(UserError, match=r"classifier\.skops: not a classifier .*UntrustedTypes.*rerun the rule"):
        TextClassifier.load(tmp_path)


@pytest.mark.parametrize("damage", ["cut short", "no archive", "of another class"])
def test_a_damaged_file_says_what_to_do(tmp_path, damage):
    TextClassifier.fit(TEXTS, LABELS).save(tmp_path)
    whole = (tmp_path / FILE).read_bytes()
    if damage == "of another class":
        dump({"a": 1}, tmp_path / FILE)
    else:
        (tmp_path / FILE).write_bytes(whole[: len(whole) // 2] if damage == "cut short" else b"nothing")
    with pytest.raises(UserError, match=r"classifier\.skops: not a classifier that can be read .*rerun the rule"):
        TextClassifier.load(tmp_path)


def test_more_than_two_classes_survive_the_disk(tmp_path):
    labels = [
        f"{label} {'in the north' if 'Osl' in text else 'elsewhere'}" for text, label in zip(TEXTS, LABELS, strict=True)
    ]
    classifier = TextClassifier.fit(TEXTS, labels, features="words_and_characters")
    classifier.save(tmp_path)
    probabilities = TextClassifier.load(tmp_path).predict_proba(TEXTS)
    assert probabilities.shape == (len(TEXTS), 4)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1)
    assert np.array_equal(probabilities, classifier.predict_proba(TEXTS))


def test_prediction_among_fewer_classes():
    classifier = TextClassifier.fit(TEXTS, LABELS)
    assert set(classifier.predict(TEXTS)) == {"fruit", "tool"}
    assert set(classifier.predict(TEXTS, among=["tool", "unknown"])) == {"tool"}
    assert classifier.predict_proba([]).shape == (0, 2)
    with pytest.raises(UserError, match="Accepted: fruit, tool"):
        classifier.predict(TEXTS, among=["vegetable"])


@pytest.mark.parametrize("labels", [["one"] * len(TEXTS), []])
def test_one_class_cannot_be_learnt(labels):
    with pytest.raises(UserError, match="at least two classes"):
        TextClassifier.fit(TEXTS[: len(labels)], labels)


def test_unknown_features_and_missing_files_are_errors(tmp_path):
    with pytest.raises(UserError, match="Did you mean 'words'"):
        TextClassifier.fit(TEXTS, LABELS, features="word")
    with pytest.raises(UserError, match=r"no text classifier .*classifier\.skops"):
        TextClassifier.load(tmp_path)


def test_held_out_scores_are_of_unseen_prompts_and_of_the_classifier_returned():
    tested = fit_and_test(TEXTS, TEXTS, LABELS)
    chosen = tested.metrics["chosen"]
    assert tested.metrics["n_train"] + len(tested.held_out) == len(TEXTS)
    assert 0.1 < len(tested.held_out) / len(TEXTS) < 0.4
    texts = {prompt_id(text): text for text in TEXTS}
    unseen = [texts[identifier] for identifier in tested.held_out["prompt_id"]]
    assert list(tested.classifier.predict(unseen)) == tested.held_out[chosen].tolist()
    assert tested.metrics["scores"][chosen]["macro_f1"] == pytest.approx(
        f1_score(tested.held_out["label"], tested.held_out[chosen], average="macro")
    )
    assert set(tested.metrics["scores"]) == set(FEATURES)


def test_labels_without_pattern_score_at_chance():
    random = np.random.default_rng(0)
    prompts = [" ".join(random.choice(list("abcdefghijklmnop"), 8)) + f" w{number}" for number in range(600)]
    tested = fit_and_test(
        prompts, prompts, random.choice(["x", "y"], 600).tolist(), features=["words"], strengths=[1.0]
    )
    assert tested.metrics["scores"]["words"]["accuracy"] == pytest.approx(0.5, abs=0.12)


def test_rows_of_a_prompt_and_of_its_near_duplicates_are_on_one_side():
    prompts = [variant for text in TEXTS for variant in (text, text.upper() + "!", text)]
    assert len(set(prompt_groups(prompts))) == len(set(prompt_groups(TEXTS)))
    tested = fit_and_test(prompts, prompts, [label for label in LABELS for _ in range(3)], features=["words"])
    assert (tested.held_out.groupby(prompt_groups_of(tested, prompts)).size() % 3 == 0).all()


def prompt_groups_of(tested, prompts):
    group = {prompt_id(prompt): name for prompt, name in zip(prompts, prompt_groups(prompts), strict=True)}
    return [group[identifier] for identifier in tested.held_out["prompt_id"]]


def test_scores_by_hand():
    found = score(["a", "a", "a", "b"], ["a", "a", "b", "c"])
    assert found["accuracy"] == 0.5
    assert found["per_class"]["a"] == {
        "precision": 1.0,
        "recall": pytest.approx(2 / 3),
        "f1": pytest.approx(0.8),
        "n": 3,
    }
    assert found["per_class"]["b"]["f1"] == 0
    assert found["macro_f1"] == pytest.approx(0.4)  # over a and b; c never occurs
    assert found["confusion"] == {"classes": ["a", "b", "c"], "counts": [[2, 1, 0], [0, 0, 1], [0, 0, 0]]}


def test_too_few_rows_say_what_is_missing():
    with pytest.raises(UserError, match="judge: 1 rows of classes"):
        fit_and_test(["one prompt"], ["text"], ["a"], test_share=0.0, where="judge")


def test_the_artefact_holds_predictions_from_which_intervals_follow(tmp_path):
    tested = fit_and_test(TEXTS, TEXTS, LABELS, features=["words"])
    save_tested(tested, tmp_path)
    lines = (tmp_path / "held_out.csv").read_text().splitlines()
    assert lines[0] == "prompt_id,label,words"
    assert len(lines) - 1 == len(tested.held_out)
    json.dumps(tested.metrics)


def test_names_of_feature_sets_are_those_that_options_accept():
    assert get_args(Features) == tuple(FEATURES)
    assert FitOptions().of_fit() == {"features": list(FEATURES), "strengths": [0.3, 3.0], "test_share": 0.25}
