"""Documents in the layouts of benchmark tasks, and a tiny random model that reads any text."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from tests.unit.tiny import TEMPLATE
from trulysafe.common.schema import write_table
from trulysafe.data.read import read
from trulysafe.evaluate.answers import blocks_to_answer, shard_of
from trulysafe.evaluate.choosing import choices, with_costs
from trulysafe.evaluate.tasks import METRICS, metric_name, task_file
from trulysafe.models.load import load_model, load_tokenizer

WORDS = "red blue stone river bird walks under over seven quiet lamp door opens late green paper".split()
PROMPT = {
    "arc_easy": "question",
    "hellaswag": "ctx",
    "winogrande": "sentence",
    "commonsense_qa": "question",
    "mmlu": "question",
    "gsm8k": "question",
    "query": "query",
    "bbh_fewshot_boolean_expressions": "input",
}
TASKS = ("arc_easy", "hellaswag", "winogrande", "commonsense_qa")


def documents(task: str, count: int, seed: int = 0) -> list[dict[str, Any]]:
    """Documents of a task, in the columns of its data set on the hub."""
    draw = random.Random(f"{task} {seed}")

    def text(words: int) -> str:
        return " ".join(draw.choices(WORDS, k=words))

    def document(number: int) -> dict[str, Any]:
        start, options = f"{number} {text(4)}", [text(draw.randint(1, 4)) for _ in range(5)]
        if task == "arc_easy":
            named = {"text": options[:4], "label": list("ABCD")}
            return {"id": str(number), "question": start, "choices": named, "answerKey": draw.choice("ABCD")}
        if task == "hellaswag":
            parts = {"activity_label": text(1), "ctx_a": start, "ctx_b": text(2), "ctx": f"{seed} {start}"}
            return {**parts, "endings": options[:4], "label": str(draw.randrange(4))}
        if task == "winogrande":
            pair = {"option1": options[0], "option2": options[1]}
            return {"sentence": f"{start} _ {text(3)}", **pair, "answer": str(draw.randint(1, 2))}
        if task == "gsm8k":
            return {"question": start, "answer": f"{text(3)}\n#### {number}"}
        named = {"label": list("ABCDE"), "text": options}
        return {"question": start, "choices": named, "answerKey": draw.choice("ABCDE")}

    return [document(number) for number in range(count)]


def subject(name: str, count: int, seed: int = 0) -> list[dict[str, Any]]:
    """Documents of one subject of MMLU."""
    found = documents("hellaswag", count, seed)
    return [
        {"question": f"{name} {item['ctx']}", "subject": name, "choices": item["endings"], "answer": int(item["label"])}
        for item in found
    ]


def write_documents(path: Path, found: list[dict[str, Any]]) -> None:
    """Write documents as a file of one JSON object a line."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{json.dumps(document)}\n" for document in found), encoding="utf-8")


def table(folder: Path, task: str, found: list[dict[str, Any]], name: str = "") -> str:
    """Write documents, read them as a workflow does, and return the path of the table."""
    name = name or task
    write_documents(folder / f"{name}.jsonl", found)
    made = read("documents", {"folder": str(folder), "path": f"{name}.jsonl", "prompt": PROMPT[task]}, name).frame
    write_table(made, folder / f"{name}.parquet", "prompts")
    return str(folder / f"{name}.parquet")


def split(folder: Path, *tables: str) -> str:
    """A split that keeps all prompts of tables for evaluation."""
    prompts = pd.concat([pd.read_parquet(path) for path in tables])["prompt_id"].drop_duplicates()
    write_table(
        pd.DataFrame({"prompt_id": prompts, "group_id": prompts, "role": "evaluation"}),
        folder / "split.parquet",
        "split",
    )
    return str(folder / "split.parquet")


def policy(folder: Path, seed: int = 0, context: int = 512) -> dict[str, Any]:
    """A tiny random model with a tokenizer of bytes, saved, as a policy that chooses."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: number for number, token in enumerate(["<bos>", "<|end|>", *alphabet])}
    core = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    core.pre_tokenizer, core.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=core, bos_token="<bos>", eos_token="<|end|>", pad_token="<|end|>"
    )
    tokenizer.chat_template = TEMPLATE
    torch.manual_seed(seed)
    sizes = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    model = LlamaForCausalLM(LlamaConfig(vocab_size=len(vocabulary), max_position_embeddings=context, **sizes))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    for part in (model, tokenizer):
        part.save_pretrained(folder)
    return {"experiment": "base", "seed": seed, "step": 0, "last": True, "model": {"source": str(folder)}}


def benchmark(task: str, *tables: str, **given: Any) -> dict[str, Any]:
    """A stanza as the rule gives it."""
    default = {"rows": None, "frontier_rows": None, "risks": [], "max_new_tokens": None}
    default |= {"shots": None, "shots_from": [], "chat_template": False}
    return {"task": task, "datasets": list(tables), **default, **given}


def chosen(
    policies: list[dict], stanzas: dict[str, Any], split: str, size: int = 8, batch: int = 4, shards: int = 1
) -> pd.DataFrame:
    """All verdicts, shard after shard."""
    work = blocks_to_answer(policies, with_costs(stanzas), split, size)
    parts = [choices(policies, shard_of(work, part, shards), stanzas, split, batch) for part in range(shards)]
    return pd.concat([done.verdicts for part in parts for done in part], ignore_index=True)


def answered(policies: list[dict], stanzas: dict[str, Any], split: str, *note: Any) -> pd.DataFrame:
    """What was chosen or written, document by document."""
    work = blocks_to_answer(policies, with_costs(stanzas), split, 8)
    done = choices(policies, work, stanzas, split, 4, *note)
    return pd.concat([block.answers for block in done], ignore_index=True)


def samples(
    policy: dict[str, Any], task: str, found: list[dict], shots: list[dict] | None = None, **given: Any
) -> list[dict[str, Any]]:
    """What the harness's own command keeps of the same documents, in their order, filter by filter."""
    from datasets import Dataset, DatasetDict
    from lm_eval import simple_evaluate
    from lm_eval.models.huggingface import HFLM
    from lm_eval.tasks import TaskManager
    from lm_eval.tasks._yaml_loader import load_yaml

    spec = policy["model"]
    splits = {"training_split": None, "validation_split": None, "test_split": "test"}
    splits |= {"fewshot_split": "shots" if shots else None}
    config = {**load_yaml(task_file(task)), **splits}
    config.pop("tag", None)
    config["custom_dataset"] = lambda **_: DatasetDict(
        {"test": Dataset.from_list(found), "shots": Dataset.from_list(shots or found)}
    )
    lm = HFLM(pretrained=load_model(spec), tokenizer=load_tokenizer(spec), batch_size=4)
    manager = TaskManager(include_defaults=False)
    (kept,) = simple_evaluate(lm, tasks=[config], task_manager=manager, bootstrap_iters=0, **given)["samples"].values()
    return sorted(kept, key=lambda item: item["doc_id"])


def harness(policy: dict[str, Any], task: str, found: list[dict], *shots: Any, **given: Any) -> dict[str, list[bool]]:
    """What is right by the harness's own command, by metric and filter; the documents in order."""
    rows: dict[str, list[bool]] = {}
    for item in samples(policy, task, found, *shots, **given):
        for name in filter(item.__contains__, METRICS):
            judge = metric_name(name, None if item["filter"] == "none" else item["filter"])
            rows.setdefault(judge, []).append(bool(item[name]))
    return rows
