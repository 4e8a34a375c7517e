"""A base model from nothing: build a tokenizer and train a tiny Llama-style model on conversations, on a CPU.

The demo and the real-text tier use the same function. The chat format is
``<|bos|><|user|>{prompt}<|assistant|>{response}<|end|>``, ``<|end|>`` being both end of turn and end of sequence.
"""

import math
import tomllib
from collections.abc import Mapping
from itertools import chain
from pathlib import Path
from typing import Any

import pandas as pd

from trulysafe.common.errors import UserError
from trulysafe.models.options import FromScratch

BOS, USER, ASSISTANT, END, PAD = SPECIAL_TOKENS = ("<|bos|>", "<|user|>", "<|assistant|>", "<|end|>", "<|pad|>")
_TEXTS = tomllib.loads(Path(__file__).with_suffix(".toml").read_text(encoding="utf-8"))
"""Chat template and model card, from ``pretrain.toml``."""
_IGNORED = -100
_ADAM_BETA2 = 0.95
"""Shorter memory of the squared gradient than the usual 0.999: trainings of a few hundred steps learn faster with it.
"""


def train_base(
    corpus: pd.DataFrame, out: Path, *, architecture: Mapping, training: Mapping, seed: int, threads: int | None = None
) -> dict[str, float]:
    """Train tokenizer and model on ``corpus`` and save them as a Hugging Face directory ``out`` (safetensors, tokenizer
    with chat template, model card).

    Args:
        corpus: conversations, columns ``prompt`` and ``response`` (both text).
        architecture: see :class:`trulysafe.models.options.Architecture`.
        training: see :class:`trulysafe.models.options.Pretraining`; sequences over ``max_length`` tokens are cut.
        seed: of initialisation and data order; the same seed, thread count and machine type give the same weights.
        threads: CPU threads; None leaves torch's setting.

    Returns:
        final_loss (nats per token, mean of the last tenth of the steps), tokens_seen (padding excluded), parameters,
        vocab_size, conversations, cut (how many were longer than ``max_length``). UserError: an unknown key, a value
        out of range, or an empty corpus.
    """
    made = FromScratch(architecture=dict(architecture), training=dict(training))
    shape, options = made.architecture.model_dump(), made.training.model_dump()
    if corpus.empty:
        raise UserError("corpus: there is no conversation in it. The base model needs at least one row.")
    import torch
    from transformers import set_seed

    if threads is not None:
        torch.set_num_threads(threads)
    set_seed(seed)
    tokenizer = build_tokenizer(corpus, shape["vocab_size"], shape["max_position_embeddings"])
    examples, cut = _examples(tokenizer, corpus, options)
    model = _model(tokenizer, shape)
    final_loss, tokens = _fit(model, tokenizer, examples, options, seed)
    out = Path(out)
    model.save_pretrained(out)
    tokenizer.save_pretrained(out)
    metrics = {
        "final_loss": final_loss,
        "tokens_seen": tokens,
        "parameters": model.num_parameters(),
        "vocab_size": len(tokenizer),
        "conversations": len(corpus),
        "cut": cut,
    }
    rows = {**shape, **options, **metrics, "seed": seed}.items()
    told = {key: f"{value:.4f}" if isinstance(value, float) and value >= 0.01 else value for key, value in rows}
    table = "\n".join(f"| {key} | {value} |" for key, value in told.items())
    (out / "README.md").write_text(_TEXTS["card"].format(table=table), encoding="utf-8")
    return metrics


def build_tokenizer(corpus: pd.DataFrame, vocab_size: int, max_length: int) -> Any:
    """Train a byte-level BPE on the corpus: frequent words become one token, any text encodes and decodes unchanged.

    It adds no special token by itself: the chat template alone puts the one BOS.
    """
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    how: dict[str, Any] = {"special_tokens": [*SPECIAL_TOKENS], "initial_alphabet": pre_tokenizers.ByteLevel.alphabet()}
    trainer = trainers.BpeTrainer(vocab_size=vocab_size, show_progress=False, **how)
    core.train_from_iterator(chain(corpus["prompt"], corpus["response"]), trainer)
    special = {"bos_token": BOS, "eos_token": END, "pad_token": PAD, "additional_special_tokens": [USER, ASSISTANT]}
    about = {"chat_template": _TEXTS["chat_template"], "model_max_length": max_length}
    return PreTrainedTokenizerFast(tokenizer_object=core, clean_up_tokenization_spaces=False, **special, **about)


def _examples(
    tokenizer: Any, corpus: pd.DataFrame, options: Mapping[str, Any]
) -> tuple[list[dict[str, list[int]]], int]:
    """Encode whole conversations; the labels of what is not learnt are -100. Also counts those that were cut."""
    prompts = [f"{BOS}{USER}{prompt}{ASSISTANT}" for prompt in corpus["prompt"]]
    responses = [f"{response}{END}" for response in corpus["response"]]
    sides = (tokenizer(texts, add_special_tokens=False)["input_ids"] for texts in (prompts, responses))
    examples, cut, limit = [], 0, options["max_length"]
    for asked, answered in zip(*sides, strict=True):
        ids = (asked + answered)[:limit]
        learnt = 1 if options["loss_on"] == "all" else len(asked)
        examples.append({"input_ids": ids, "labels": [_IGNORED] * min(learnt, len(ids)) + ids[learnt:]})
        cut += len(asked) + len(answered) > limit
    return examples, cut


def _model(tokenizer: Any, shape: Mapping[str, Any]) -> Any:
    """Initialise with standard deviation width**-0.5: the usual 0.02 suits widths of thousands and slows narrow models
    down."""
    from transformers import LlamaConfig, LlamaForCausalLM

    own = {f"{role}_token_id": getattr(tokenizer, f"{role}_token_id") for role in ("bos", "eos", "pad")}
    own |= {"vocab_size": len(tokenizer), "initializer_range": shape["hidden_size"] ** -0.5}
    return LlamaForCausalLM(LlamaConfig(**{**shape, **own}, tie_word_embeddings=True))


def _fit(
    model: Any, tokenizer: Any, examples: list[dict[str, list[int]]], options: Mapping[str, Any], seed: int
) -> tuple[float, int]:
    """Train in batches of similar length; returns the mean loss of the last tenth of the steps and the tokens seen."""
    from tempfile import TemporaryDirectory

    from transformers import DataCollatorForSeq2Seq, Trainer, TrainingArguments

    with TemporaryDirectory() as scratch:
        arguments = TrainingArguments(
            output_dir=scratch,
            max_steps=options["steps"],
            per_device_train_batch_size=options["batch_size"],
            learning_rate=options["learning_rate"],
            lr_scheduler_type="cosine",
            warmup_steps=math.ceil(options["warmup_ratio"] * options["steps"]),
            weight_decay=options["weight_decay"],
            adam_beta2=_ADAM_BETA2,
            bf16=options["dtype"] == "bfloat16",
            train_sampling_strategy="group_by_length",
            use_cpu=True,
            seed=seed,
            logging_steps=max(1, options["steps"] // 10),
            include_num_input_tokens_seen="non_padding",
            save_strategy="no",
            report_to="none",
            disable_tqdm=True,
        )
        trainer = Trainer(
            model=model,
            args=arguments,
            train_dataset=examples,
            data_collator=DataCollatorForSeq2Seq(tokenizer, label_pad_token_id=_IGNORED),
        )
        trainer.train()
    losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    return losses[-1], int(trainer.state.num_input_tokens_seen)
