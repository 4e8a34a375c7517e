"""What changes a model's scores before a token is drawn: nucleus sampling without sorting the vocabulary, and a
repetition penalty that does not read padding."""

import torch
from torch import Tensor
from transformers import LogitsProcessor, RepetitionPenaltyLogitsProcessor

WIDTH = 1024
"""Most likely tokens of a row that are looked at first."""


class Repetition(RepetitionPenaltyLogitsProcessor):
    """The repetition penalty of transformers (Keskar et al. 2019, section 4.1) on the tokens of each row alone.

    Transformers reads the padding in front of short prompts as text: where the pad token is the end of turn, a row
    would be the less likely to end the longer the others of its batch are. ``begins`` is the place where each row's
    text begins, [rows].
    """

    def __init__(self, penalty: float, begins: Tensor) -> None:
        super().__init__(penalty)
        self.begins = begins

    def __call__(self, input_ids: torch.LongTensor, scores: torch.FloatTensor) -> torch.FloatTensor:
        """Scores [rows, vocabulary], lowered for tokens of the row's text; token ids are [rows, tokens]."""
        padding = torch.arange(input_ids.shape[1], device=input_ids.device) < self.begins[:, None]
        text = input_ids.where(~padding, input_ids[:, -1:])  # a token that is there once more changes nothing
        return super().__call__(text, scores)


class Nucleus(LogitsProcessor):
    """The smallest set of likeliest tokens whose probabilities at ``temperature`` sum to ``top_p`` or more.

    Transformers sorts all scores of every row. The nucleus nearly always lies within the thousand most likely tokens,
    which are found without a sort of the rest; where it does not, that row is sorted as before. What is kept is the
    same.

    It stands before the temperature in transformers' order and divides by it for itself. Source: Holtzman et al. 2020,
    section 3.1; equal to ``TopPLogitsWarper`` but for which of several equally likely tokens are kept.
    """

    def __init__(self, top_p: float, temperature: float = 1.0, width: int = WIDTH) -> None:
        self.top_p, self.temperature, self.width = top_p, temperature, width

    def __call__(self, input_ids: torch.LongTensor, scores: torch.FloatTensor) -> torch.FloatTensor:
        """Scores [rows, vocabulary], minus infinity outside each row's nucleus."""
        at = scores / self.temperature
        whole = at.logsumexp(dim=-1, keepdim=True)
        kept = torch.full_like(scores, -torch.inf)
        wider = self._keep(kept, scores, at, whole, min(self.width, scores.shape[-1]))
        if wider.any():
            rows = wider.nonzero().squeeze(1)
            part = kept[rows]
            self._keep(part, scores[rows], at[rows], whole[rows], scores.shape[-1])
            kept[rows] = part
        return kept  # type: ignore[return-value]

    def _keep(self, kept: Tensor, scores: Tensor, at: Tensor, whole: Tensor, width: int) -> Tensor:
        """Write the scores of each nucleus into ``kept``; returns the rows whose nucleus is wider, bool [rows]."""
        top, places = at.topk(width, dim=-1)
        share = (top - whole).exp()
        reached = share.cumsum(dim=-1)
        outside = reached - share >= self.top_p
        outside[:, 0] = False
        kept.scatter_(1, places, scores.gather(1, places).masked_fill(outside, -torch.inf))
        return (reached[:, -1] < self.top_p) & (width < scores.shape[-1])
