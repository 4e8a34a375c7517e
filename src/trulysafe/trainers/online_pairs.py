"""Online DPO: at every step the policy itself samples the responses that it is trained on, and something that does not train judges them.

After Guo et al. 2024 (arXiv 2402.04792), with the frozen hybrid reward as the judge, or another one (:mod:`trulysafe.trainers.online_judges`). All else (loss, optimiser, prompts and their
order, harmless pairs, snapshots) is that of the offline arms, so that the two differ in where pairs come from and in nothing else. Pairs out of scope
(general and look-alike prompts) stay as they are given: the reward says nothing about harmless prompts.
"""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
import torch
from trl.models.utils import unwrap_model_for_generation

from trulysafe.common.errors import UserError
from trulysafe.common.ids import stable_seed
from trulysafe.methods.method import REWARD_JUDGE, Online
from trulysafe.models.sampling import Decoding, generated
from trulysafe.models.scoring import token_logps
from trulysafe.models.tokens import Encoded, end_of_turn_id
from trulysafe.pairs.build import GAP, SAME_TEXT, rerank
from trulysafe.reward.model import HybridReward
from trulysafe.trainers.batches import WEIGHT
from trulysafe.trainers.meter import Meter
from trulysafe.trainers.online_judges import META, PROMPT, OnlineJudge, RewardJudge, TextJudge
from trulysafe.trainers.preference import PreferenceTrainer

Example = dict[str, Any]
Drops = Counter[str]
UNFINISHED = "no finished response"
REASONS = (UNFINISHED, SAME_TEXT, GAP)
"""Why a prompt gives no pair."""


class OnlinePairs:
    """Turns a micro-batch of given pairs into one of fresh pairs.

    Args:
        reference: the frozen model that the policy is held against.
        judge: scores responses.
        tokenizer: of the model.
        options: how to sample, and which gaps to drop.
        meter: gets seconds and tokens of sampling, judging and the reference's forward.
    """

    def __init__(self, reference: Any, judge: OnlineJudge, tokenizer: Any, options: Online, meter: Meter) -> None:
        self.reference, self.judge, self.tokenizer, self.options, self.meter = (
            reference,
            judge,
            tokenizer,
            options,
            meter,
        )

    def fresh(self, policy: Any, examples: Sequence[Example]) -> tuple[list[Example], Drops]:
        """Sample, judge and pair up responses to the prompts in scope.

        A prompt whose samples give no pair (fewer than two distinct finished ones, or no gap between their rewards) is dropped from
        the batch.

        Args:
            policy: the current model, unwrapped.
            examples: rows of the training set.

        Returns:
            The rows to train on, in order: rows out of scope as they were, the others with fresh responses, reference
            log-probabilities and rewards. May be empty. Beside them the number of dropped prompts by reason, of :data:`REASONS`.
        """
        asked = [place for place, example in enumerate(examples) if example.get("in_scope", True)]
        if not asked:
            return list(examples), Counter()
        with self.meter.timed("sampling"):
            sampled = self._sample(policy, [list(examples[place]["prompt_ids"]) for place in asked])
        with self.meter.timed("judging"):
            chosen, dropped = self._best_and_worst(examples, sampled, asked)
        with self.meter.timed("reference"):
            made = self._rows(examples, chosen)
        kept = [place for place in range(len(examples)) if place in made or place not in asked]
        return [made.get(place, examples[place]) for place in kept], dropped

    def _sample(self, policy: Any, prompts: list[list[int]]) -> list[list[Encoded]]:
        """Finished responses per prompt, as token ids that end with the end of turn."""
        end, options = end_of_turn_id(self.tokenizer), self.options
        decoding = Decoding(
            options.samples, options.temperature, options.top_k, options.top_p, options.repetition_penalty, options.max_new_tokens
        )  # fmt: skip
        training = policy.training
        policy.eval()
        rows = generated(policy, self.tokenizer, prompts, decoding)
        policy.train(training)
        self.meter.tokens["sampling"] += sum(map(len, rows)) + options.samples * sum(map(len, prompts))
        grouped = [rows[start : start + options.samples] for start in range(0, len(rows), options.samples)]
        return [
            [Encoded(prompt, row) for row in group if row[-1] == end and len(row) > 1]
            for prompt, group in zip(prompts, grouped, strict=True)
        ]

    def _best_and_worst(
        self, examples: Sequence[Example], sampled: list[list[Encoded]], places: list[int]
    ) -> tuple[dict[int, pd.Series], Drops]:
        """The pair of each place that has one, by the same ranking rule as for a pool; and how many have none, by reason."""
        flat = [(place, item) for place, group in zip(places, sampled, strict=True) for item in group]
        if not flat:
            return {}, Counter({UNFINISHED: len(places)})
        rewards = self.judge.scores([examples[place] for place, _ in flat], [item for _, item in flat], self.meter)
        texts = [" ".join(map(str, item.response_ids)) for _, item in flat]  # ids stand for the text
        table = pd.DataFrame({"prompt_id": [place for place, _ in flat], "response": texts, "reward": rewards})
        blank = dict.fromkeys(("prompt", "risk", "family", "source", "meta"), "")
        pairs, drops = rerank(table.assign(response_id=table.index, **blank), min_gap=self.options.min_gap)
        dropped = Counter({reason: count for (reason, _), count in drops.items()})
        dropped += Counter({UNFINISHED: len(places) - table["prompt_id"].nunique()})  # no entry for none
        return {int(row["prompt_id"]): row for _, row in pairs.iterrows()}, dropped

    def _rows(self, examples: Sequence[Example], chosen: dict[int, pd.Series]) -> dict[int, Example]:
        made: dict[int, Example] = {
            place: {
                **examples[place],
                **{f"{side}_ids": [int(token) for token in pair[side].split()] for side in ("chosen", "rejected")},
                **({"flipped": False} if "flipped" in examples[place] else {}),  # a wrong label was of the given pair
                **{  # only where the given pairs have theirs: rows of a batch hold the same
                    name: pair[name] for name in ("chosen_reward", "rejected_reward") if name in examples[place]
                },
            }
            for place, pair in chosen.items()
        }
        sides = [(row, side) for row in made.values() for side in ("chosen", "rejected")]
        both = [Encoded(list(row["prompt_ids"]), row[f"{side}_ids"]) for row, side in sides]
        self.meter.tokens["reference"] += sum(len(item.prompt_ids) + len(item.response_ids) for item in both)
        logps = token_logps(self.reference, both, self.tokenizer.pad_token_id, len(both), None) if both else []
        for (row, side), values in zip(sides, logps, strict=True):
            row[f"{side}_ref_token_logps"] = values
        return made


class OnlinePreferenceTrainer(PreferenceTrainer):
    """Preference training on pairs that the policy samples at every micro-batch (``method.online``).

    Takes what :class:`PreferenceTrainer` takes; the model as it is given becomes reference and the reward's model, as a frozen copy. The
    training set is the workflow's, with the columns ``pair_index`` and reference log-probabilities.

    Args:
        judge: for another ``method.online.judge`` than the reward: how to open it, see :class:`trulysafe.trainers.online_judges.TextJudge`. The
            training set then has the columns ``judged_prompt``, ``judged_meta`` and ``risk``.

    Raises:
        UserError: nothing that judges, a data set without those columns, or several processes.
    """

    def __init__(
        self,
        model: Any,
        *,
        method: Any,
        reward_model: HybridReward | None = None,
        judge: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> None:
        dataset = options.get("train_dataset")
        _check_inputs(method.online.judge, set(getattr(dataset, "column_names", None) or ()), reward_model, judge)
        if _processes() > 1:
            raise UserError(f"online pairs: {_processes()} processes are not supported. Set training.engine to single.")
        reference = copy.deepcopy(model).eval().requires_grad_(False)
        frozen = copy.deepcopy(reward_model)  # stays as it is, also where the confidence keeps training its own
        super().__init__(model, method=method, reward_model=reward_model, **options)
        device, tokenizer = self.accelerator.device, self.processing_class
        reference = reference.to(device)
        judges: OnlineJudge = (
            TextJudge(judge or {}, tokenizer)
            if frozen is None or method.online.judge != REWARD_JUDGE
            else RewardJudge(reference, frozen.to(device), int(tokenizer.pad_token_id))  # type: ignore[union-attr]
        )
        self._online = OnlinePairs(reference, judges, tokenizer, method.online, self.meter)

    def _prepare_inputs(self, inputs: dict[str, Any]) -> dict[str, Any]:
        """Exchange the pairs of a training batch before the loss sees them."""
        if self._training and "pair_index" in inputs:
            inputs = self._exchanged(inputs)
        return super()._prepare_inputs(inputs)

    def _exchanged(self, inputs: dict[str, Any]) -> dict[str, Any]:
        data: Any = self.train_dataset
        rows = inputs["pair_index"].tolist()
        examples = [data[row] for row in rows]
        with (
            torch.random.fork_rng(),  # draws follow from seed, step and rows: the same after a resume, whatever else drew before
            unwrap_model_for_generation(self.model_wrapped, self.accelerator) as policy,
        ):
            torch.manual_seed(stable_seed("online pairs", self.args.seed, self.state.global_step, *rows))
            fresh, dropped = self._online.fresh(policy, examples)
        if asked := sum(bool(example.get("in_scope", True)) for example in examples):
            self._record(**{"online/pairs": torch.tensor([1 - dropped.total() / asked])})
            shares = {f"online/{reason.replace(' ', '_')}": dropped[reason] / asked for reason in REASONS}
            self._record(**{name: torch.tensor([share]) for name, share in shares.items()})
        if fresh:
            return self.data_collator(fresh)
        return {
            **inputs,
            WEIGHT: torch.zeros(len(rows), device=inputs["input_ids"].device),
        }  # no pair: a step on nothing


def _check_inputs(name: str, columns: set[str], reward: HybridReward | None, judge: Mapping[str, Any] | None) -> None:
    needed = ["pair_index", "chosen_ref_token_logps", "rejected_ref_token_logps"]
    what = "reward_model (a fitted HybridReward of the same base model)"
    if name != REWARD_JUDGE:
        needed += [PROMPT, META, "risk"]
        what = f"judge (kind, options and artefact of the judge {name!r})"
    if (reward if name == REWARD_JUDGE else judge) is None or not set(needed) <= columns:
        raise UserError(f"online pairs need {what} and a training set with the columns {', '.join(needed)}.")
    if given := sorted(name for name in columns if name.endswith("_token_rewards")):
        raise UserError(f"online pairs: the columns {', '.join(given)} belong to the given responses. Leave them out.")


def _processes() -> int:
    return torch.distributed.get_world_size() if torch.distributed.is_initialized() else 1
