"""What we rely on inside the pinned TRL. If one of these fails after an upgrade, reread
`trulysafe.trainers.preference`."""

import inspect

import pytest
import torch
import trl
from trl import GRPOTrainer
from trl.trainer.dpo_trainer import DataCollatorForPreference, DPOTrainer
from trl.trainer.utils import add_fused_lm_head

from tests.unit import tiny
from trulysafe.trainers.forward import token_log_probs


def test_version_is_the_one_the_override_was_written_for():
    assert trl.__version__ == "1.16.0"


def test_private_methods_exist_with_the_signatures_that_are_overridden():
    assert list(inspect.signature(DPOTrainer._compute_loss).parameters) == ["self", "model", "inputs", "return_outputs"]
    assert list(inspect.signature(DPOTrainer._set_signature_columns_if_needed).parameters) == ["self"]
    assert list(inspect.signature(DPOTrainer._precompute_ref_logps).parameters) == [
        "self",
        "dataset",
        "name",
        "batch_size",
    ]
    assert list(inspect.signature(DPOTrainer.compute_ref_log_probs).parameters) == ["self", "model", "inputs"]
    assert "_compute_loss(" in inspect.getsource(DPOTrainer.compute_loss)
    assert "self._metrics[mode]" in inspect.getsource(DPOTrainer.log)


def test_ppo_finds_what_it_extends():
    """If this fails, reread `trulysafe.trainers.ppo`."""
    signature = inspect.signature(GRPOTrainer._generate_and_score_completions)
    assert list(signature.parameters) == ["self", "inputs"]
    loss = inspect.getsource(GRPOTrainer._compute_loss)
    assert 'mask = completion_mask if "tool_mask" not in inputs else completion_mask * inputs["tool_mask"]' in loss
    assert "if advantages.dim() == 1:" in loss  # else they are of tokens
    assert 'old_per_token_logps = inputs.get("old_per_token_logps")' in loss
    assert "loss = (per_token_loss * mask).sum() / mask.sum().clamp(min=1.0)" in loss
    assert "self._buffered_inputs is None" in inspect.getsource(GRPOTrainer._prepare_inputs)
    assert "self._step += 1" in inspect.getsource(GRPOTrainer.training_step)


def test_batches_stack_chosen_on_rejected_padded_on_the_right():
    batch = DataCollatorForPreference(pad_token_id=0)([{"prompt_ids": [1], "chosen_ids": [2, 3], "rejected_ids": [4]}])
    assert batch["input_ids"].tolist() == [[1, 2, 3], [1, 4, 0]]
    assert batch["completion_mask"].tolist() == [[0, 1, 1], [0, 1, 0]]


def test_fused_head_gives_the_log_probabilities_of_the_labels():
    model = tiny.model("llama")
    ids = torch.tensor([[5, 6, 7, 8, 9]])
    labels = torch.tensor([[-100, -100, 7, 8, 9]])
    with torch.no_grad():
        expected = torch.log_softmax(model(input_ids=ids).logits, dim=-1)[
            0, torch.arange(1, 4), torch.tensor([7, 8, 9])
        ]
        add_fused_lm_head(model, outputs=("log_probs",))
        found = model(input_ids=ids, labels=labels, fused_lm_head=True).log_probs[0]
    assert torch.allclose(found[1:], expected, atol=1e-5)
    assert found[0] == 0


@pytest.mark.parametrize("grad", [False, True])
def test_on_a_cpu_places_outside_the_response_can_be_left_out_of_the_head(grad):
    model = tiny.model("llama")
    add_fused_lm_head(model, outputs=("log_probs",))
    ids = torch.randint(5, model.config.vocab_size, (3, 9), generator=torch.Generator().manual_seed(0))
    labels = ids.clone()
    labels[:, :4] = -100
    labels[1] = -100
    found, completion = [], (labels != -100).long()
    for scored in (
        lambda: model(input_ids=ids, labels=labels, fused_lm_head=True).log_probs,
        lambda: token_log_probs(model, ids, torch.ones_like(ids), completion),
    ):
        model.zero_grad()
        with torch.set_grad_enabled(grad):
            log_probs = scored()
        if grad:
            (log_probs * (labels[:, 1:] != -100)).sum().backward()
            found.append([parameter.grad.clone() for parameter in model.parameters() if parameter.grad is not None])
        else:
            found.append([log_probs * (labels[:, 1:] != -100)])
    assert len(found[0]) == len(found[1])
    for every, some in zip(*found, strict=True):
        assert torch.allclose(every, some, atol=1e-6)


def test_labels_that_are_shifted_already_are_scored_where_they_stand():
    """On a CPU the head is given the states of the response's places alone, in a row of their own
    (`trulysafe.trainers.step`)."""
    model = tiny.model("llama")
    add_fused_lm_head(model, outputs=("log_probs",))
    ids = torch.tensor([[5, 6, 7, 8, 9]])
    with torch.no_grad():
        expected = model(input_ids=ids, labels=ids, fused_lm_head=True).log_probs[0, 1:]
        model.base_model.register_forward_hook(
            lambda _module, _inputs, output: type(output)(last_hidden_state=output.last_hidden_state[0, 1:4])
        )
        found = model(input_ids=ids, shift_labels=ids[0, 2:], fused_lm_head=True).log_probs
    assert found.shape == (3,)
    assert torch.allclose(found, expected, atol=1e-6)
