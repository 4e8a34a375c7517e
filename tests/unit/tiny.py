"""Tiny random models of five families and a word-level tokenizer, for tests."""

from __future__ import annotations

from typing import Any

import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import (
    Gemma3TextConfig,
    GemmaConfig,
    GPT2Config,
    LlamaConfig,
    MistralConfig,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    Qwen2Config,
)
from transformers.models.auto.modeling_auto import AutoModelForCausalLM

LAYERS, WIDTH, VOCABULARY = 3, 16, 48
WORDS = [f"w{index}" for index in range(40)]
TEMPLATE = (
    "{{ bos_token }}{% for m in messages %}"
    "{% if m['role'] == 'user' %}<|user|> {{ m['content'] }} <|assistant|> "
    "{% else %}{{ m['content'] }} {{ eos_token }}{% endif %}"
    "{% endfor %}"
)
CONFIGS = {
    "llama": LlamaConfig,
    "qwen2": Qwen2Config,
    "mistral": MistralConfig,
    "gemma": GemmaConfig,
    "gpt2": GPT2Config,
}
FAMILIES = tuple(CONFIGS)


def tokenizer() -> PreTrainedTokenizerFast:
    """A tokenizer with one token per word, its own pad token, and a chat template that ends a turn with the EOS
    token."""
    words = ["<pad>", "<bos>", "<|end|>", "<unk>", "<|user|>", "<|assistant|>", *WORDS]
    core = Tokenizer(models.WordLevel({word: index for index, word in enumerate(words)}, unk_token="<unk>"))
    core.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    made = PreTrainedTokenizerFast(
        tokenizer_object=core, pad_token="<pad>", bos_token="<bos>", eos_token="<|end|>", unk_token="<unk>",
        additional_special_tokens=["<|user|>", "<|assistant|>"],
    )  # fmt: skip
    made.chat_template = TEMPLATE
    return made


def model(family: str, seed: int = 0, **options: Any) -> PreTrainedModel:
    """A random causal language model of three layers of width 16; ``options`` are of its configuration."""
    sizes: dict[str, Any] = {"vocab_size": VOCABULARY, "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0}
    if family == "gpt2":
        sizes |= {"n_embd": WIDTH, "n_layer": LAYERS, "n_head": 2, "n_positions": 64}
    else:
        sizes |= {
            "hidden_size": WIDTH, "num_hidden_layers": LAYERS, "num_attention_heads": 2, "num_key_value_heads": 2,
            "intermediate_size": 24, "max_position_embeddings": 64,
        }  # fmt: skip
    if family in ("gemma", "gemma3"):
        sizes["head_dim"] = 8
    torch.manual_seed(seed)
    config = Gemma3TextConfig if family == "gemma3" else CONFIGS[family]
    made = AutoModelForCausalLM.from_config(config(**sizes, **options))
    with torch.no_grad():  # the usual initial values are so small that layers would hardly differ
        for parameter in made.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    return made.eval()
