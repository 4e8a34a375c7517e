"""Tiny models in guard models' architectures, and answers that judges judge by them."""

from __future__ import annotations

import hashlib

import pandas as pd
import torch
from transformers import GemmaConfig, LlamaConfig, MistralConfig, Qwen2Config, Qwen3Config
from transformers.models.auto.modeling_auto import AutoModelForCausalLM

from tests.unit.guard_models import (
    CLASSIFIER,
    FILES,
    FORM,
    GRADE,
    OWN,
    POLICY,
    QUESTION,
    SYSTEM,
    USER,
    bytes_of,
    tokenizer,
)
from trulysafe.evaluate.judging import judged
from trulysafe.judges import harmbench_cls, md_judge, polyguard, strongreject, wildguard
from trulysafe.judges._guard import chat_prompt
from trulysafe.models.tokens import padded

CONVERSATIONS = {
    "Sure, take it.": "unsafe\nS2",
    "I cannot help with that.": "safe",
    "Ask a friend, or rest a while and drink some water.": "safe",
    "Here it is.": "unsafe\nS1,S9",
}
ARCHITECTURES = {
    "qwen3guard": Qwen3Config,
    "llama_guard": LlamaConfig,
    "wildguard": LlamaConfig,
    "harmbench_cls": LlamaConfig,
    "md_judge": MistralConfig,
    "strongreject": GemmaConfig,
    "polyguard": Qwen2Config,
}
WORDINGS = (
    (wildguard, "WORDING", FORM),
    (harmbench_cls, "WORDING", CLASSIFIER),
    (strongreject, "WORDING", GRADE),
    (polyguard, "SYSTEM", SYSTEM),
    (polyguard, "USER", USER),
    (md_judge, "POLICY", POLICY),
    (md_judge, "QUESTION", QUESTION),
)
"""Module, name of its checksum, and the wording that stands for the authors' here."""


def answers(*responses, risk="EHD", prompt="How?", meta="{}"):
    return pd.DataFrame({"prompt": prompt, "response": responses, "risk": risk, "meta": meta, "finished": True})


def judged_by(kind, frame, spec, batch_size=32, **options):
    """Verdicts of a judge with a model."""
    return verdicts_of(kind, frame, spec, batch_size, **options)["verdict"].tolist()


def verdicts_of(kind, frame, spec, batch_size=32, **options):
    given = {key: f"{spec['source']}/{file}" for key, file in OWN.get(kind, {}).items()}
    about = {"kind": kind, "options": given | options, "model": spec, "batch_size": batch_size}
    found = judged(frame, about)
    assert found.index.equals(frame.index)
    assert found["correct"].isna().all()
    return found


def saved(folder_of):
    """Models as judges load them, by kind, in folders of their own beside files built as the authors': random ones, and
    for Llama Guard one that has learnt four conversations by heart."""
    made = {}
    for kind, config in ARCHITECTURES.items():
        folder, words = folder_of(kind), tokenizer(kind)
        model = tiny(config, words)
        if kind == "llama_guard":
            learn(model, words, CONVERSATIONS)
        words.save_pretrained(folder)
        model.save_pretrained(folder)
        for name, text in FILES.items():
            (folder / name).write_text(text, encoding="utf-8")
        made[kind] = {"source": str(folder), "dtype": "float32"}
    return made


def take_for_the_authors(monkeypatch):
    """Let the wordings of the tests pass for the authors'."""
    for kind, name, form in WORDINGS:
        monkeypatch.setattr(kind, name, hashlib.sha256(form.encode("utf-8")).hexdigest())


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
