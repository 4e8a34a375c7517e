"""The one tokenisation path: chat template applied, exactly one BOS, responses that end with the end-of-turn token."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from trulysafe.common.errors import UserError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

Message = dict[str, str]
DATE = "26 Jul 2024"
"""What templates that tell the model today's date are given, or prompts would change overnight; Llama 3's where there
is no clock."""


@dataclass(frozen=True)
class Encoded:
    """Token ids of a conversation, split where the response starts."""

    prompt_ids: list[int]
    response_ids: list[int]


def as_messages(prompt: str | Sequence[Message]) -> list[Message]:
    """Return the conversation so far: a text is one user message, a list of messages stays as it is."""
    return [{"role": "user", "content": prompt}] if isinstance(prompt, str) else [dict(message) for message in prompt]


def encode(tokenizer: PreTrainedTokenizerBase, prompt: str | Sequence[Message], response: str | None = None) -> Encoded:
    """Tokenise a prompt and, if given, its response.

    The response starts where the tokenised prompt and the tokenised conversation diverge, as in TRL, and what a
    template writes after the end-of-turn token (a newline, say) is left out: the last id is always the end of turn.

    Args:
        tokenizer: a tokenizer with a chat template.
        prompt: one user message, or the messages so far.
        response: the assistant's answer; ``None`` encodes the prompt alone, ready for generation.

    Returns:
        The ids of the prompt (with the generation prompt) and of the response (empty without one).

    Raises:
        UserError: no chat template, an empty response, or a template that does not end the assistant's turn.
    """
    messages = as_messages(prompt)
    prompt_ids = _apply_template(tokenizer, messages, add_generation_prompt=True)
    if response is None:
        return Encoded(prompt_ids, [])
    if not response.strip():
        raise UserError("An empty response cannot be tokenised. Remove the row, or give the response a text.")
    full = _apply_template(tokenizer, [*messages, {"role": "assistant", "content": response}])
    start = common_prefix_length(prompt_ids, full)
    return Encoded(full[:start], up_to_end_of_turn(tokenizer, full[start:]))


def up_to_end_of_turn(tokenizer: PreTrainedTokenizerBase, response_ids: Sequence[int]) -> list[int]:
    """Ids of a response without what a template writes after its last end-of-turn token.

    Raises:
        UserError: there is no end-of-turn token.
    """
    ids, end = list(response_ids), end_of_turn_id(tokenizer)
    if end not in ids:
        raise UserError(
            f"The chat template of {tokenizer.name_or_path!r} does not end an assistant turn with "
            f"{tokenizer.eos_token!r}. "
            "Set models.<name>.end_of_turn (in a script tokenizer.eos_token) to the token that it writes there, or "
            "models.<name>.chat_template "
            "to a template that writes the EOS."
        )
    return ids[: len(ids) - ids[::-1].index(end)]


def token_count(tokenizer: PreTrainedTokenizerBase) -> Callable[[str, str], int]:
    """A function that counts the tokens of a prompt with its response."""

    def count(prompt: str, response: str) -> int:
        encoded = encode(tokenizer, prompt, response)
        return len(encoded.prompt_ids) + len(encoded.response_ids)

    return count


def end_of_turn_id(tokenizer: PreTrainedTokenizerBase) -> int:
    """Id of the token that ends the assistant's turn: the tokenizer's EOS.

    Raises:
        UserError: the tokenizer has no EOS token.
    """
    if tokenizer.eos_token_id is None:
        raise UserError(f"The tokenizer {tokenizer.name_or_path!r} has no EOS token, so no response has an endpoint.")
    return int(tokenizer.eos_token_id)


def common_prefix_length(first: Sequence[int], second: Sequence[int]) -> int:
    """Number of leading ids that both sequences share."""
    for position, (a, b) in enumerate(zip(first, second, strict=False)):
        if a != b:
            return position
    return min(len(first), len(second))


def _apply_template(tokenizer: PreTrainedTokenizerBase, messages: list[Message], **options: Any) -> list[int]:
    if not getattr(tokenizer, "chat_template", None):
        raise UserError(
            f"The tokenizer {tokenizer.name_or_path!r} has no chat template. "
            "Set models.<name>.chat_template to the path of a Jinja template, or choose an instruction-tuned model."
        )
    rendered: Any = tokenizer.apply_chat_template(
        messages, tokenize=True, return_dict=True, date_string=DATE, **options
    )
    ids: list[int] = list(rendered["input_ids"])
    bos = tokenizer.bos_token_id
    if bos is None or bos == tokenizer.eos_token_id:
        return ids
    written = ids.count(bos) - sum(str(message["content"]).count(str(tokenizer.bos_token)) for message in messages)
    if written > 1:  # those in the texts aside: <s> is also HTML
        raise UserError(
            f"The chat template of {tokenizer.name_or_path!r} yields {written} BOS tokens; exactly one is accepted. "
            "Remove the BOS from the template or from the tokenizer's post-processor."
        )
    return ids
