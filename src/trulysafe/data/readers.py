"""The readers: one per public source, registered in ``SOURCES``.

Default paths are relative to the configuration's ``data`` folder; ``repo`` is the original on the Hugging Face hub, and readers
take both layouts. Risk stays empty where the source does not say which kind of harm a prompt carries: the labeller fills it;
``meta.harmful`` then says that the prompt is known to be harmful, so that the labeller chooses among the harmful classes.
"""

from __future__ import annotations

import re
from typing import Any

from trulysafe.common.errors import not_accepted
from trulysafe.data.records import Row
from trulysafe.data.sources import TEXTS, Fields, SkipRowError, source

HARMFUL = {"harmful": True}
BEAVERTAILS_RISKS = {"EHD": "EHD", "IHD": "IHD", "MHD": "MHD", "OTHER": "other", "No risk": "general"}
XSTEST_LABELS = {"1_full_compliance": "complies", "2_full_refusal": "refuses", "3_partial_refusal": "mixed"}
_TURN = re.compile(r"\n\n(Human|Assistant):(.*?)(?=\n\n(?:Human|Assistant):|\Z)", re.DOTALL)


def generic(row: Row, options: Fields) -> Fields:
    """Columns by the mapping ``columns`` (our name: the file's name); ``meta`` lists columns to keep as facts of the row."""
    needed = TEXTS[options["schema"]]
    columns = {name: name for name in needed} | options.get("columns", {})
    fields: Fields = {name: row.text(column) for name, column in columns.items() if name in needed}
    for name in set(columns) - set(needed):
        value = row.get(columns[name])
        fields[name] = options.get(f"{name}s", {}).get(str(value), "" if value is None else str(value))
    return fields | {"meta": {name: row.get(name) for name in options.get("meta", [])}}


for _kind in ("jsonl", "csv", "parquet", "json", "hub"):
    source(_kind, "", options=("columns", "schema", "meta", "risks", "labels"))(generic)


@source("beavertails_risk", "prompts", "equilibrate_rlhf/beavertails_selected_relabelled.jsonl", repeats=True)
def beavertails_risk(row: Row, options: Fields) -> Fields:
    """Risk-type labels of BeaverTails test prompts (Equilibrate RLHF); a prompt labelled twice keeps both rows."""
    label = row.text("category")
    if label not in BEAVERTAILS_RISKS:
        raise not_accepted(f"{row.where}: category", label, BEAVERTAILS_RISKS)
    return {"prompt": row.text("question_y"), "risk": BEAVERTAILS_RISKS[label], "meta": {"released_label": label}}


@source(
    "pku_saferlhf",
    "pairs",
    "pku_saferlhf/preference_5k.jsonl.gz",
    repo="PKU-Alignment/PKU-SafeRLHF",
    options=("safety_gap",),
)
def pku_saferlhf(row: Row, options: Fields) -> Fields:
    """PKU-SafeRLHF pairs, chosen is the safer response; ``safety_gap: true`` keeps only pairs of one safe and one unsafe response.

    A prompt with an unsafe response counts as harmful. The reduced file holds only pairs whose responses differ in safety.
    """
    if "safer_response_id" not in row.values:
        return {column: row.text(column) for column in ("prompt", "chosen", "rejected")} | {"meta": HARMFUL}
    safer, safe = int(row.get("safer_response_id")), [bool(row.get(f"is_response_{side}_safe")) for side in (0, 1)]
    if options.get("safety_gap") and safe[0] == safe[1]:
        raise SkipRowError("both responses equally safe")
    chosen, rejected = row.text(f"response_{safer}"), row.text(f"response_{1 - safer}")
    return {"prompt": row.text("prompt"), "chosen": chosen, "rejected": rejected, "meta": {} if all(safe) else HARMFUL}


@source("pku_saferlhf_prompts", "prompts", "pku_saferlhf/preference_5k.jsonl.gz")
def pku_saferlhf_prompts(row: Row, options: Fields) -> Fields:
    """Prompts of the PKU-SafeRLHF pairs whose responses differ in safety, to sample responses for."""
    return {"prompt": row.text("prompt"), "meta": HARMFUL}


@source("pku_saferlhf_responses", "responses", "pku_saferlhf/preference_5k.jsonl.gz", options=("side",))
def pku_saferlhf_responses(row: Row, options: Fields) -> Fields:
    """One side of the PKU-SafeRLHF pairs whose responses differ in safety, to train judges: ``side: chosen`` safe, ``rejected`` unsafe."""
    side = options.get("side", "chosen")
    if side not in ("chosen", "rejected"):
        raise not_accepted("option `side`", side, ("chosen", "rejected"))
    return {"prompt": row.text("prompt"), "response": row.text(side), "label": "safe" if side == "chosen" else "unsafe"}


@source("hh_rlhf", "pairs", "hh_rlhf/harmless-base_test.jsonl.gz", repo="Anthropic/hh-rlhf")
def hh_rlhf(row: Row, options: Fields) -> Fields:
    """Single exchanges of hh-rlhf: both dialogues open with one human turn and differ in the first assistant turn."""
    chosen, rejected = (_TURN.findall("\n\n" + row.text(side)) for side in ("chosen", "rejected"))
    if min(len(chosen), len(rejected)) < 2:
        raise SkipRowError("no assistant turn")
    if chosen[0] != rejected[0]:
        raise SkipRowError("first human turns differ")
    if chosen[1] == rejected[1]:
        raise SkipRowError("diverges after the first assistant turn")
    prompt, good, bad = (turn[1].strip() for turn in (chosen[0], chosen[1], rejected[1]))
    if not (prompt and good and bad):
        raise SkipRowError("empty turn")
    return {"prompt": prompt, "chosen": good, "rejected": bad, "meta": {"turns": max(len(chosen), len(rejected))}}


@source("salad_bench", "prompts", "salad_bench/base_subset.jsonl", repo="OpenSafetyLab/Salad-Data")
def salad_bench(row: Row, options: Fields) -> Fields:
    """SALAD-Bench questions; the family is the finest level of its taxonomy."""
    return {
        "prompt": row.text("question"),
        "family": row.optional("3-category"),
        "meta": HARMFUL | {"category": row.optional("1-category")},
    }


@source("harmbench", "prompts", "harmbench/harmbench_behaviors_text_all.csv", options=("categories",))
def harmbench(row: Row, options: Fields) -> Fields:
    """HarmBench text behaviours; ``categories`` keeps functional categories (standard, contextual, copyright)."""
    category = row.text("FunctionalCategory")
    if category not in options.get("categories", [category]):
        raise SkipRowError(f"functional category {category}")
    parts = [row.optional("ContextString"), row.text("Behavior")]
    meta = HARMFUL | {"category": category, "behavior_id": row.optional("BehaviorID")}
    return {"prompt": "\n\n---\n\n".join(filter(None, parts)), "family": row.optional("SemanticCategory"), "meta": meta}


def _xstest(row: Row) -> Fields:
    """XSTest's own types are the families; ``contrast_`` types are the unsafe prompts."""
    unsafe = row.text("type").startswith("contrast_")
    return {
        "prompt": row.text("prompt"),
        "risk": "" if unsafe else "look_alike",
        "family": row.text("type"),
        "meta": HARMFUL if unsafe else {"harmful": False},
    }


@source("xstest", "prompts", "xstest/xstest_prompts.csv", options=("part",))
def xstest(row: Row, options: Fields) -> Fields:
    """XSTest prompts: safe ones are harmless look-alikes; ``part: safe`` or ``unsafe`` keeps one side."""
    fields = _xstest(row)
    if options.get("part", "all") not in ("all", "unsafe" if fields["meta"]["harmful"] else "safe"):
        raise SkipRowError("other part of XSTest")
    return fields


@source("xstest_completions", "responses", "xstest/completions/*.csv")
def xstest_completions(row: Row, options: Fields) -> Fields:
    """Completions of five models for XSTest prompts with human refusal labels."""
    label = row.text("final_label")
    if label not in XSTEST_LABELS:
        raise not_accepted(f"{row.where}: final_label", label, XSTEST_LABELS)
    if not row.optional("completion"):
        raise SkipRowError("empty completion")
    return _xstest(row) | {"response": row.text("completion"), "label": XSTEST_LABELS[label]}


@source("beavertails_qa", "responses", "beavertails/unsafe_qa_sample.jsonl", repo="PKU-Alignment/BeaverTails")
def beavertails_qa(row: Row, options: Fields) -> Fields:
    """BeaverTails question-answer pairs, labelled safe or unsafe."""
    return {
        "prompt": row.text("prompt"),
        "response": row.text("response"),
        "label": "safe" if row.get("is_safe") else "unsafe",
    }


@source("salad_qa", "responses", "salad_bench/example_qa.jsonl")
def salad_qa(row: Row, options: Fields) -> Fields:
    """The judge examples of SALAD-Bench: 0 is safe, 1 unsafe."""
    label = str(row.get("label"))
    if label not in ("0", "1"):
        raise not_accepted(f"{row.where}: label", label, ("0", "1"))
    return {
        "prompt": row.text("question"),
        "response": row.text("answer"),
        "label": ("safe", "unsafe")[int(label)],
        "meta": HARMFUL,
    }


@source("pku_safe_sft", "responses", "pku_saferlhf/safe_sft.jsonl.gz")
def pku_safe_sft(row: Row, options: Fields) -> Fields:
    """PKU-SafeRLHF prompts with a safe response."""
    return {"prompt": row.text("prompt"), "response": row.text("response"), "label": "safe"}


def _general(prompt: str, response: str, **meta: Any) -> Fields:
    return {"prompt": prompt, "response": response, "risk": "general", "meta": meta}


@source("alpaca", "responses", "alpaca/alpaca_en_demo.jsonl.gz", repo="tatsu-lab/alpaca")
def alpaca(row: Row, options: Fields) -> Fields:
    """Alpaca: the prompt is the instruction, followed by its input if it has one."""
    return _general("\n\n".join(filter(None, [row.text("instruction"), row.optional("input")])), row.text("output"))


@source("lima", "responses", "lima/lima.jsonl.gz", repo="GAIR/lima")
def lima(row: Row, options: Fields) -> Fields:
    """LIMA: the first exchange of each conversation."""
    turns = row.values.get("conversations") or [turn for pair in row.values.get("history") or [] for turn in pair]
    if not turns:
        return _general(row.text("instruction"), row.text("output"))
    if len(turns) < 2:
        raise SkipRowError("no response")
    return _general(turns[0].strip(), turns[1].strip())


@source("dolly", "responses", "dolly/dolly_1k_sample.jsonl.gz", repo="databricks/databricks-dolly-15k")
def dolly(row: Row, options: Fields) -> Fields:
    """Dolly: the prompt is the instruction, followed by its context if it has one."""
    prompt = "\n\n".join(filter(None, [row.text("instruction"), row.optional("context")]))
    return _general(prompt, row.text("response"), category=row.optional("category"))


@source("general_preference", "pairs", "general_preference_demo/dpo_en_demo.jsonl.gz")
def general_preference(row: Row, options: Fields) -> Fields:
    """Helpfulness pairs in LLaMA-Factory's layout: conversations of one human turn (a system turn before it is left out)."""
    turns = [turn for turn in row.get("conversations") if turn["from"] != "system"]
    if len(turns) != 1:
        raise SkipRowError("more than one exchange")
    texts = {"prompt": turns[0], "chosen": row.get("chosen"), "rejected": row.get("rejected")}
    return {column: Row(turn, row.where).text("value") for column, turn in texts.items()} | {"risk": "general"}


@source("ultrafeedback", "pairs", repo="HuggingFaceH4/ultrafeedback_binarized")
def ultrafeedback(row: Row, options: Fields) -> Fields:
    """UltraFeedback, binarised: helpfulness pairs; each side is a conversation whose last turn is the answer."""
    sides = {side: row.get(side) for side in ("chosen", "rejected")}
    if any(len(turns) != 2 for turns in sides.values()):
        raise SkipRowError("more than one exchange")
    answers = {side: Row(turns[-1], row.where).text("content") for side, turns in sides.items()}
    return {"prompt": row.text("prompt"), **answers, "risk": "general"}


@source("false_reject", "pairs", repo="AmazonScience/FalseReject", options=("refusal",))
def false_reject(row: Row, options: Fields) -> Fields:
    """FalseReject: harmless prompts that look harmful, with an answer. The rejected side is the text ``refusal``, a plain refusal by default."""
    refusal = options.get("refusal", "I'm sorry, but I can't help with that.")
    meta = {"harmful": False, "category": row.optional("category_text")}
    sides = {"chosen": row.text("instruct_response"), "rejected": refusal}
    return {"prompt": row.text("prompt"), **sides, "risk": "look_alike", "meta": meta}


@source("alpaca_eval", "prompts", "alpaca_eval/text_davinci_003_outputs.jsonl.gz")
def alpaca_eval(row: Row, options: Fields) -> Fields:
    """AlpacaEval instructions; the family is the set that an instruction comes from."""
    return {"prompt": row.text("instruction"), "family": row.optional("dataset"), "risk": "general"}


@source("gsm8k", "prompts", "gsm8k/test.jsonl.gz", repo="openai/gsm8k")
def gsm8k(row: Row, options: Fields) -> Fields:
    """GSM8K questions; the number after the last ``####`` is the reference answer that the judge ``keywords`` looks for."""
    answer = row.text("answer").rsplit("####", 1)[-1].strip().replace(",", "")
    return {"prompt": row.text("question"), "risk": "general", "meta": {"answer": answer}}
