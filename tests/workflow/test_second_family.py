"""A second real family through every stage: Gemma 3's architecture with its nested text part, its tokens, its chat
template. Its weights are random, so it is fine-tuned first, as SmolLM2 is in the main run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
import trl
import yaml
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import AutoModelForCausalLM, Gemma3Config, PreTrainedTokenizerFast

from tests.workflow.project import SMALL, Project
from trulysafe.data.read import read

pytestmark = pytest.mark.slow
SPECIAL = [
    "<pad>",
    "<eos>",
    "<bos>",
    "<start_of_turn>",
    "<end_of_turn>",
    "<image>",
    "<start_of_image>",
    "<end_of_image>",
]
TEMPLATE = Path(trl.__file__).parent / "chat_templates" / "gemma3.jinja"


def save_gemma(folder: Path) -> None:
    """A small random Gemma 3, with a byte-level tokenizer of the demo world's words."""
    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    corpus = read("demo", {"part": "corpus", "world": 0, "rows": 800}).frame
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=512, special_tokens=SPECIAL, initial_alphabet=alphabet, show_progress=False
    )
    core.train_from_iterator([*corpus["prompt"], *corpus["response"]], trainer)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=core,
        bos_token="<bos>",
        eos_token="<eos>",
        pad_token="<pad>",
        additional_special_tokens=SPECIAL[3:],
    )
    tokenizer.chat_template = TEMPLATE.read_text(encoding="utf-8")
    tokenizer.save_pretrained(folder)
    ids = {name: core.token_to_id(f"<{name[:3]}>") for name in ("pad_token_id", "eos_token_id", "bos_token_id")}
    text = {
        "vocab_size": core.get_vocab_size(), "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 3,
        "num_attention_heads": 2, "num_key_value_heads": 1, "head_dim": 16, "sliding_window": 64, **ids,
    }  # fmt: skip
    eyes = {
        "hidden_size": 16,
        "intermediate_size": 16,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "image_size": 28,
    }
    tokens = {"image_token_index": 5, "boi_token_index": 6, "eoi_token_index": 7, "mm_tokens_per_image": 4}
    torch.manual_seed(0)
    config = Gemma3Config(text_config=text, vision_config=eyes | {"patch_size": 14}, **tokens, **ids)
    AutoModelForCausalLM.from_config(config).save_pretrained(folder)


def configured(folder: Path) -> dict[str, Any]:
    """The smallest configuration, whose model starts from the one in ``folder``. Fewer steps: no answer ends."""
    raw: dict[str, Any] = yaml.safe_load(SMALL.read_text(encoding="utf-8"))
    training = {"steps": 100, "batch_size": 16, "learning_rate": 5e-3, "max_length": 256}
    raw["models"] = {
        "gemma": {"source": "path", "name": str(folder), "end_of_turn": "<end_of_turn>", "size": "tiny"},
        "tiny": {"source": "finetune", "model": "gemma", "corpus": ["corpus"], "training": training},
    }
    raw["experiments"]["shipped"] = {"model": "gemma"}
    return raw


def test_gemma_goes_through_every_stage(tmp_path: Path) -> None:
    save_gemma(tmp_path / "gemma")
    configuration = tmp_path / "gemma.yaml"
    configuration.write_text(yaml.safe_dump(configured(tmp_path / "gemma"), sort_keys=False), encoding="utf-8")
    project = Project(tmp_path / "project")
    project.snakemake(configuration=configuration)
    assert "Nothing to be done" in project.snakemake(configuration=configuration)

    results = project.folder / "results" / "small"
    assert len(pd.read_parquet(results / "pairs" / "reranked.parquet"))
    log = pd.concat([pd.read_csv(path) for path in results.glob("policies/*/log.csv")])
    first = log[(log["step"] == 1) & (log["name"] == "loss") & (log["experiment"] == "dpo")]["value"]
    assert first.to_numpy() == pytest.approx(0.6931, abs=1e-3)  # policy and reference are one, on both sides' tokens
    answers = pd.concat([pd.read_parquet(path) for path in results.glob("answers/**/*.parquet")])
    assert not answers["response"].str.contains("<end_of_turn>|<eos>|model\n", regex=True).any()
    assert answers.loc[answers["experiment"] == "base", "finished"].mean() > 0
    rows = pd.read_parquet(results / "metrics" / "metrics.parquet")
    assert set(rows["experiment"]) == {"shipped", "base", "dpo", "confidence", "ama"}
    assert list(results.glob("figures/plane.png"))
