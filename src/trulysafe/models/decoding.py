"""How responses are drawn."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Decoding:
    """How responses are drawn; ``temperature`` 0 is greedy."""

    samples: int = 1
    temperature: float = 0.0
    top_k: int = 0
    top_p: float = 1.0
    repetition_penalty: float = 1.0
    max_new_tokens: int = 256

    @property
    def rows(self) -> int:
        """Responses of a prompt: one where greedy."""
        return self.samples if self.temperature > 0 else 1

    @property
    def nucleus(self) -> bool:
        """Whether top-p alone cuts the vocabulary: behind top-k nearly nothing is left to sort."""
        return self.temperature > 0 and self.top_k == 0 and self.top_p < 1

    def generate_options(self) -> dict[str, Any]:
        """Arguments of one plain call of ``model.generate``."""
        options: dict[str, Any] = {"max_new_tokens": self.max_new_tokens, "repetition_penalty": self.repetition_penalty}
        if self.temperature == 0:
            return {**options, "do_sample": False, "temperature": None, "top_k": None, "top_p": None}
        drawn = {"do_sample": True, "temperature": self.temperature, "top_k": self.top_k, "top_p": self.top_p}
        return {**options, **drawn, "num_return_sequences": self.samples}
