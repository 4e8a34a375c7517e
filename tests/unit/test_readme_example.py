"""The README's example, run as it stands but for the model, the number of steps and the device."""

from __future__ import annotations

import json
import random
import re
from pathlib import Path

import pytest

from tests.unit import tiny

README = Path(__file__).resolve().parents[2] / "README.md"


def write_pairs(path: Path, rows: int, seed: int) -> None:
    draw = random.Random(seed)

    def message(role: str) -> list[dict[str, str]]:
        return [{"role": role, "content": " ".join(draw.choices(tiny.WORDS, k=5))}]

    pairs = (
        {"prompt": message("user"), "chosen": message("assistant"), "rejected": message("assistant")}
        for _ in range(rows)
    )
    path.write_text("".join(json.dumps(pair) + "\n" for pair in pairs), encoding="utf-8")


@pytest.mark.parametrize("precision", ["", "bf16=False, "], ids=["TRL's default", "float32"])
@pytest.mark.parametrize("trainer", ["ConfidenceDPOTrainer", "AdaptiveDPOTrainer"])
def test_example_trains(trainer: str, precision: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    monkeypatch.chdir(tmp_path)
    tiny.model("llama").save_pretrained("model")
    tiny.tokenizer().save_pretrained("model")
    write_pairs(Path("annotated.jsonl"), rows=120, seed=0)
    write_pairs(Path("pairs.jsonl"), rows=24, seed=1)
    found = re.search(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    assert found is not None
    code = found.group(1)
    assert len(code.strip().splitlines()) <= 28
    changes = {
        '"Qwen/Qwen2.5-0.5B-Instruct"': '"model"',
        "learning_rate=1e-6, max_steps=100": "learning_rate=1e-3, max_steps=2, "
        f"{precision}use_cpu=True, report_to='none'",
        "ConfidenceDPOTrainer": trainer,
    }
    for old, new in changes.items():
        assert old in code
        code = code.replace(old, new)
    names: dict[str, object] = {}
    exec(compile(code, "README.md", "exec"), names)
    log = names["trainer"].state.log_history[-1]
    assert names["trainer"].state.global_step == 2
    assert torch.isfinite(torch.tensor(log["train_loss"]))
    trained = names["model"].state_dict()
    before = tiny.model("llama").state_dict()
    assert not torch.equal(trained["lm_head.weight"], before["lm_head.weight"])
