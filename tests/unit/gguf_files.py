"""Tiny GGUF files, written with llama.cpp's own writer."""

from __future__ import annotations

from pathlib import Path

import gguf
import numpy as np
from gguf import GGUFWriter

LETTERS = [chr(code) for code in (*range(33, 127), *range(161, 173), *range(174, 256))]
"""Most letters of the byte-level alphabet of GPT-2's tokenizer; Ġ is the space."""
TOKENS = ["<|end|>", "<|user|>", "Ġ", "ab", *LETTERS]
TEMPLATE = "{% for m in messages %}<|user|>{{ m['content'] }}<|end|>{% endfor %}"


def write(
    path: Path, architecture: str = "llama", tokenizer: bool = True, template: bool = True, width: int = 32
) -> Path:
    """Write a random decoder of one layer."""
    writer = GGUFWriter(path, architecture)
    writer.add_context_length(64)
    writer.add_embedding_length(width)
    writer.add_block_count(1)
    writer.add_feed_forward_length(2 * width)
    writer.add_head_count(4)
    writer.add_head_count_kv(2)
    writer.add_rope_dimension_count(width // 4)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_vocab_size(len(TOKENS))
    if tokenizer:
        writer.add_tokenizer_model("gpt2")
        writer.add_tokenizer_pre("smollm")
        writer.add_token_list(TOKENS)
        control, normal = gguf.TokenType.CONTROL, gguf.TokenType.NORMAL
        writer.add_token_types([control, control, *[normal] * (len(TOKENS) - 2)])
        writer.add_token_merges(["a b"])
        writer.add_bos_token_id(1)
        writer.add_eos_token_id(0)
    if template:
        writer.add_chat_template(TEMPLATE)
    random = np.random.default_rng(0)
    halves = {"attn_k": width // 2, "attn_v": width // 2, "ffn_gate": 2 * width, "ffn_up": 2 * width}
    shapes = {"token_embd": (len(TOKENS), width), "output_norm": (width,)}
    shapes |= {f"blk.0.{name}": (width,) for name in ("attn_norm", "ffn_norm")}
    shapes |= {f"blk.0.{name}": (width, width) for name in ("attn_q", "attn_output")}
    shapes |= {f"blk.0.{name}": (rows, width) for name, rows in halves.items()}
    shapes["blk.0.ffn_down"] = (width, 2 * width)
    for name, shape in shapes.items():
        writer.add_tensor(f"{name}.weight", random.normal(size=shape, scale=0.1).astype(np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path
