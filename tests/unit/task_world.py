"""Documents in the layouts of four benchmark tasks, and a tiny random model that reads any text."""

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

WORDS = "red blue stone river bird walks under over seven quiet lamp door opens late green paper".split()
PROMPT = {
    "arc_easy": "question",
    "hellaswag": "ctx",
    "winogrande": "sentence",
    "commonsense_qa": "question",
    "mmlu": "question",
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
