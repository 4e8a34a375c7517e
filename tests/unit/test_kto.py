"""KTO: its loss and reference point against TRL's trainer and the formula, its mismatched pairs, and what it
refuses."""

from __future__ import annotations

import copy
from itertools import pairwise

import pytest
import torch
from datasets import Dataset
from hypothesis import given
from hypothesis import strategies as st
from trl import KTOConfig, KTOTrainer
from trl.trainer.kto_trainer import DataCollatorForUnpairedPreference

from tests.unit import tiny
from tests.unit.preference_world import PAIRS, arguments
from trulysafe import PreferenceTrainer
from trulysafe.common.errors import UserError
from trulysafe.methods.losses import RESPONSE_LOSSES, kto_reference_point
from trulysafe.methods.method import Method, Online
from trulysafe.methods.parts import Confidence, Mask
from trulysafe.models.scoring import token_logps
from trulysafe.models.tokens import encode
from trulysafe.trainers.batches import IDS, mismatched_pairs, with_partners

KTO = Method(loss="kto")


def columns(tokenizer) -> dict:
    sides = {
        side: [encode(tokenizer, pair[0], pair[place]) for pair in PAIRS]
        for side, place in (("chosen", 1), ("rejected", 2))
    }
    ids = {f"{side}_ids": [item.response_ids for item in encoded] for side, encoded in sides.items()}
    return {"prompt_ids": [item.prompt_ids for item in sides["chosen"]], **ids}


def trainer(model, tokenizer, folder, method=KTO, dataset=None, **options) -> PreferenceTrainer:
    made = arguments(folder, max_steps=4, per_device_train_batch_size=2, beta=0.3)
    data = Dataset.from_dict(columns(tokenizer)) if dataset is None else dataset
    return PreferenceTrainer(model, method=method, args=made, train_dataset=data, processing_class=tokenizer, **options)


def moved(model, seed):
    """Away from what it was, by a little noise, and in training."""
    model.train()
    draw = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.05 * torch.randn(parameter.shape, generator=draw))


@pytest.fixture(scope="module")
def theirs(tokenizer, tmp_path_factory):
    """TRL's KTO trainer on the same model, with the reference as a model of its own."""
    said = [(prompt, text, good) for prompt, *texts in PAIRS for text, good in zip(texts, (True, False), strict=True)]
    data = Dataset.from_dict(
        {
            "prompt": [[{"role": "user", "content": prompt}] for prompt, _, _ in said],
            "completion": [[{"role": "assistant", "content": text}] for _, text, _ in said],
            "label": [good for *_, good in said],
        }
    )
    arguments = KTOConfig(
        output_dir=str(tmp_path_factory.mktemp("kto")), per_device_train_batch_size=8, beta=0.3, report_to="none",
        bf16=False,
        gradient_checkpointing=False, train_sampling_strategy="sequential", max_length=None,
    )  # fmt: skip
    return KTOTrainer(
        tiny.model("llama"),
        ref_model=tiny.model("llama"),
        args=arguments,
        train_dataset=data,
        processing_class=tokenizer,
    )


@pytest.mark.parametrize("seed", range(4))
def test_loss_and_gradients_are_trls_on_the_same_mismatched_pairs(theirs, tokenizer, tmp_path, seed):
    ours = trainer(tiny.model("llama"), tokenizer, tmp_path, ref_model=tiny.model("llama"))
    theirs.model.load_state_dict(tiny.model("llama").state_dict())
    for one in (ours, theirs):
        moved(one.model, seed)
        one.model.zero_grad()
    rows = list(ours.train_dataset)
    examples = [
        {"prompt_ids": row["prompt_ids"], "completion_ids": row[f"{side}_ids"],
            "KL_completion_ids": row[IDS.format(side)], "label": good}
        for row in rows
        for side, good in (("chosen", True), ("rejected", False))
    ]  # fmt: skip
    expected = theirs._compute_loss(theirs.model, DataCollatorForUnpairedPreference(pad_token_id=0)(examples), False)
    found = ours._compute_loss(ours.model, ours.data_collator(rows))
    assert found.item() == pytest.approx(expected.item(), rel=1e-5)
    point, their_point = (one._metrics["train"]["kl"][-1] for one in (ours, theirs))
    assert point == pytest.approx(their_point, abs=1e-4)
    found.backward()
    expected.backward()
    for mine, other in zip(ours.model.parameters(), theirs.model.parameters(), strict=True):
        torch.testing.assert_close(mine.grad, other.grad, atol=1e-5, rtol=1e-4)


def test_both_signs_of_the_reference_point_occur_above(theirs, tokenizer, tmp_path):
    """Among those four policies some are held against a point above 0, and some against one that is cut off at 0."""
    points = []
    for seed in range(4):
        ours = trainer(tiny.model("llama"), tokenizer, tmp_path / str(seed), ref_model=tiny.model("llama"))
        moved(ours.model, seed)
        ours._compute_loss(ours.model, ours.data_collator(list(ours.train_dataset)))
        points += ours._metrics["train"]["kl"]
    assert min(points) == 0 < max(points)


@given(st.lists(st.floats(-5, 5), min_size=1, max_size=8), st.floats(-5, 5), st.floats(-5, 5), st.floats(0.01, 2))
def test_loss_is_the_formula(mismatched, chosen, rejected, beta):
    """Value function of the paper with weights 1: ``1 - sigmoid(beta (r - z0))`` for a desirable response, the other
    way round else."""
    point = max(0.0, sum(mismatched) / len(mismatched))
    ratios = torch.tensor([chosen, rejected], dtype=torch.float64)
    found = RESPONSE_LOSSES["kto"](*(ratios - kto_reference_point(torch.tensor(mismatched, dtype=torch.float64))), beta)
    value = [
        1 - torch.sigmoid(torch.tensor(beta * gap, dtype=torch.float64)) for gap in (chosen - point, point - rejected)
    ]
    assert found.item() == pytest.approx(float(sum(value)) / 2, abs=1e-9)


def test_the_reference_point_has_no_gradient():
    assert not kto_reference_point(torch.ones(3, requires_grad=True)).requires_grad


def test_the_first_loss_is_a_half_and_training_lowers_it(tokenizer, tmp_path):
    made = trainer(tiny.model("llama"), tokenizer, tmp_path, ref_model=tiny.model("llama"))
    made.train()
    losses = [entry["loss"] for entry in made.state.log_history if "loss" in entry]
    assert losses[0] == pytest.approx(0.5, abs=1e-6)
    assert losses[-1] < losses[0]


def test_columns_from_the_workflow_give_the_same_trajectory_as_a_live_reference(tokenizer, tmp_path):
    data = columns(tokenizer)
    for side in ("chosen", "rejected"):
        texts = [encode(tokenizer, pair[0], pair[1 + (side == "rejected")]) for pair in PAIRS]
        data[f"{side}_ref_token_logps"] = token_logps(tiny.model("llama"), texts, tokenizer.pad_token_id, 3)
    ready = trainer(tiny.model("llama"), tokenizer, tmp_path / "ready", dataset=Dataset.from_dict(data))
    live = trainer(tiny.model("llama"), tokenizer, tmp_path / "live", ref_model=tiny.model("llama"))
    assert ready.ref_model is None
    logs = []
    for made in (ready, live):
        made.train()
        logs.append([(entry["loss"], entry["kl"]) for entry in made.state.log_history if "loss" in entry])
    assert len(logs[0]) == 4
    for one, other in zip(*logs, strict=True):
        assert one == pytest.approx(other, abs=1e-5)


def test_a_fixed_confidence_is_the_mean_over_the_label_being_right_or_wrong(tokenizer, tmp_path):
    made = trainer(tiny.model("llama"), tokenizer, tmp_path, ref_model=tiny.model("llama"))
    moved(made.model, 1)
    rows = list(made.train_dataset)
    swapped = [
        {name.replace("chosen", "*").replace("rejected", "chosen").replace("*", "rejected"): value for name,
            value in row.items()}
        for row in rows
    ]  # fmt: skip
    with torch.no_grad():
        right, wrong = (made._compute_loss(made.model, made.data_collator(batch)).item() for batch in (rows, swapped))
        made.method = Method(loss="kto", confidence=Confidence(kind="fixed", value=0.8))
        mixed = made._compute_loss(made.model, made.data_collator(rows)).item()
    assert mixed == pytest.approx(0.8 * right + 0.2 * wrong, abs=1e-6)


def test_lora_reads_the_reference_without_its_adapter(tokenizer, tmp_path):
    from peft import LoraConfig

    lora = LoraConfig(task_type="CAUSAL_LM", r=2, target_modules=["q_proj"])
    made = trainer(tiny.model("llama"), tokenizer, tmp_path / "lora", peft_config=lora)
    plain = trainer(tiny.model("llama"), tokenizer, tmp_path / "plain", ref_model=tiny.model("llama"))
    for name in ("mismatched_chosen_ref_logp", "mismatched_rejected_ref_logp"):
        assert made.train_dataset[name][:] == pytest.approx(plain.train_dataset[name][:], abs=1e-4)
    made.train()
    assert made.state.global_step == 4


@given(st.lists(st.integers(0, 3), min_size=2, max_size=12))
def test_partners_are_the_next_pair_with_another_prompt(prompts):
    """Against a plain search; no sequence is longer than the longest pair."""
    data = {
        "prompt_ids": [[prompt] * (1 + prompt) for prompt in prompts],
        "chosen_ids": [[100 + row] * (1 + row % 3) for row in range(len(prompts))],
        "rejected_ids": [[200 + row] for row in range(len(prompts))],
    }
    if len(set(prompts)) == 1:
        with pytest.raises(UserError, match="at least two prompts"):
            with_partners(Dataset.from_dict(data))
        return
    found = mismatched_pairs(with_partners(Dataset.from_dict(data)))
    longest = max(len(prompt) + len(ids) for prompt, ids in zip(data["prompt_ids"], data["chosen_ids"], strict=True))
    for row, pair in enumerate(found):
        later = [(row + shift) % len(prompts) for shift in range(1, len(prompts))]
        other = next(place for place in later if prompts[place] != prompts[row])
        assert pair["prompt_ids"] == data["prompt_ids"][row]
        room = longest - len(pair["prompt_ids"])
        assert pair["chosen_ids"] == data["chosen_ids"][other][:room]
        assert pair["rejected_ids"] == data["rejected_ids"][other][:room]


def test_the_meter_counts_the_forward_pass_of_the_reference_point(tokenizer, tmp_path):
    made = trainer(tiny.model("llama"), tokenizer, tmp_path, ref_model=tiny.model("llama"))
    made.train()
    assert made.meter.tokens["mismatched"] > 0
    assert made.meter.tokens["step"] > 0


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"mask": Mask(rule="hysteresis")}, "Leave out the mask"),
        ({"online": Online(samples=4)}, "Set online.samples to 0"),
    ],
)
def test_what_makes_no_sense_with_kto_is_refused(options, text):
    with pytest.raises(UserError, match=text):
        Method(loss="kto", **options)


@pytest.mark.parametrize("loss", ["aot", "aot_unpaired", "sft"])
def test_losses_without_a_place_for_a_label_refuse_confidence(loss):
    with pytest.raises(UserError, match=f"'{loss}' does not weigh"):
        Method(loss=loss, confidence=Confidence(kind="fixed"))
    assert Method(loss=loss, mask=Mask(rule="hysteresis")).loss == loss


def test_kto_says_that_it_needs_arguments(tokenizer):
    with pytest.raises(UserError, match="Give args"):
        PreferenceTrainer(
            copy.deepcopy(tiny.model("llama")), method=KTO, train_dataset=Dataset.from_dict(columns(tokenizer)),
            processing_class=tokenizer
        )  # fmt: skip


def test_collated_rows_hold_both_sides_of_the_partners(tokenizer, tmp_path):
    made = trainer(tiny.model("llama"), tokenizer, tmp_path, ref_model=tiny.model("llama"))
    rows = list(made.train_dataset)
    batch = made.data_collator(rows)
    for number, row in enumerate(rows):
        for place, side in ((number, "chosen"), (number + len(rows), "rejected")):
            kept = batch["mismatched_input_ids"][place][batch["mismatched_attention_mask"][place].bool()].tolist()
            assert kept == row["prompt_ids"] + row[IDS.format(side)]
            assert batch["mismatched_ref_logps"][place] == pytest.approx(row[f"mismatched_{side}_ref_logp"])
    assert all(first["prompt_ids"] != second["prompt_ids"] for first, second in pairwise(rows))
