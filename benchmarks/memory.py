"""Memory: the peak of a stage, each in a process of its own, against the number of its responses; and the
states of a million responses, written and read in shards."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from benchmarks.inputs import conversations, loaded, options, pair_columns, prompt_table
from benchmarks.machine import peak_bytes

from trulysafe.common.state_store import load_states, save_states
from trulysafe.models.decoding import Decoding
from trulysafe.models.representations import extract
from trulysafe.models.sampling import blocks, respond
from trulysafe.models.scoring import token_logps
from trulysafe.reward.model import HybridReward

STAGES = {"sampling": (256, 1024), "representations": (2048, 8192), "reference": (2048, 8192)}
"""Responses of the smaller and of the larger run."""
MILLION, SHARD, LAYERS, WIDTH = 1_000_000, 20_000, 4, 32


def stage(name: str, count: int) -> dict[str, float]:
    """Run a stage on so many responses in this process; its peak memory, and what it was before."""
    torch.set_num_threads(1)
    model, tokenizer = loaded("demo")
    before = peak_bytes()
    if name == "sampling":
        table = prompt_table(count // 4)
        for _ in respond(
            model, tokenizer, blocks(table, 16), Decoding(samples=4, temperature=1.0, max_new_tokens=16), 0
        ):
            pass
    elif name == "representations":
        extract(model, tokenizer, conversations(count, words=12, longest=40), "eos", 32)
    else:
        encoded = pair_columns(tokenizer, count // 2, 12, 40)
        token_logps(model, [item for side in encoded.values() for item in side], tokenizer.pad_token_id, 32, None)
    return {"before": before, "peak": peak_bytes()}


def million(count: int) -> dict[str, float]:
    """Write invented states of ``count`` responses shard by shard, then read and score them so, as ``pool_states`` and
    ``rerank`` do. Returns the peak after the first shard was read, and at the end."""
    torch.set_num_threads(1)
    reward, draw, first = HybridReward(LAYERS, WIDTH), torch.Generator().manual_seed(0), 0
    with tempfile.TemporaryDirectory() as folder:
        for at in range(0, count, SHARD):
            index = pd.DataFrame({"response_id": np.arange(at, at + SHARD).astype(str)})
            states = {"states": torch.randn(SHARD, LAYERS, WIDTH, generator=draw)}
            save_states(Path(folder) / str(at), states, index)
            with torch.inference_mode():
                reward(load_states(Path(folder) / str(at))[0]["states"])
            first = first or peak_bytes()
    return {"before": first, "peak": peak_bytes()}


def apart(name: str, count: int) -> dict[str, float]:
    """The same in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.memory", "--apart", name, str(count)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    """Measure and record."""
    given, record = options("memory", __doc__ or "", ("demo",))
    for name, (small, large) in STAGES.items():
        if given.quick:
            small, large = small // 4, large // 4
        peaks = [apart(name, count)["peak"] for count in (small, large)]
        each = (peaks[1] - peaks[0]) / (large - small)
        facts = {"responses": large, "peak MiB": peaks[1] / 2**20, "KiB a further response": each / 2**10}
        record.note(f"peak of {name}", **facts)
    count = MILLION // 10 if given.quick else MILLION
    found = apart("million", count)
    grown = {"MiB after the first shard": found["before"] / 2**20, "MiB at the end": found["peak"] / 2**20}
    record.note("states in shards", responses=count, shard=SHARD, **grown)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--apart"]:
        run = million if sys.argv[2] == "million" else lambda count: stage(sys.argv[2], count)
        print(json.dumps(run(int(sys.argv[3]))))
    else:
        main()
