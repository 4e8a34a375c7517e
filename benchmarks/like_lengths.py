"""Forward and backward of micro-batches on a CPU: padded to the longest response, or rows of like length together.

Lengths are drawn as those of preference pairs are: many short, a few long. Both ways run in turn in one process; the
ratio of processor times is the result, with the tokens that each puts through the model.
"""

from __future__ import annotations

import statistics
import time
from unittest import mock

import torch
from transformers import LlamaConfig, LlamaForCausalLM
from trl.trainer.utils import add_fused_lm_head

from trulysafe.trainers import forward

ROWS, ROUNDS, MEDIAN, LONGEST = 8, 12, 80, 256
SHAPES = {
    "demo": {"hidden_size": 128, "intermediate_size": 512, "num_hidden_layers": 3, "num_attention_heads": 4},
    "SmolLM2": {"hidden_size": 576, "intermediate_size": 1536, "num_hidden_layers": 30, "num_attention_heads": 9},
}


def micro_batch(draw: torch.Generator) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Token ids, attention mask and completion mask (the later half of each row), each [rows, tokens]."""
    spread = torch.randn(ROWS, generator=draw).mul(0.5).exp()
    lengths = (spread * MEDIAN).long().clamp(16, LONGEST)
    places, ends = torch.arange(int(lengths.max())), lengths[:, None]
    attention = (places < ends).long()
    ids = torch.randint(5, 2000, attention.shape, generator=draw) * attention
    return ids, attention, ((places >= ends // 2) & (places < ends)).long()


def step(model: LlamaForCausalLM, columns: tuple[torch.Tensor, ...], spared: int) -> float:
    """Processor seconds of one forward and backward pass, parted where that spares so many tokens."""
    start = time.process_time()
    with mock.patch.object(forward, "TOKENS_OF_A_PASS", spared):
        (-forward.token_log_probs(model, *columns).sum()).backward()
    model.zero_grad()
    return time.process_time() - start


def main() -> None:
    """Print medians and their ratio for the demo's model and for one of SmolLM2's shape (random weights)."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    for name, shape in SHAPES.items():
        model = LlamaForCausalLM(LlamaConfig(vocab_size=2304, **shape)).train()
        add_fused_lm_head(model, outputs=("log_probs",))
        ways = {10**9: "padded", forward.TOKENS_OF_A_PASS: "like lengths"}
        times: dict[int, list[float]] = {spared: [] for spared in ways}
        draw = torch.Generator().manual_seed(0)
        for _ in range(ROUNDS):
            columns = micro_batch(draw)
            for spared in ways:
                times[spared].append(step(model, columns, spared))
        padded, grouped = (statistics.median(times[spared]) for spared in ways)
        ratio = statistics.median(b / a for a, b in zip(*times.values(), strict=True))
        print(f"{name}: padded {padded:.3f} s, like lengths {grouped:.3f} s, ratio {ratio:.2f}")


if __name__ == "__main__":
    main()
