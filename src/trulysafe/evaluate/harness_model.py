"""A model as lm-evaluation-harness drives it, which also tells whether an answer ended of its own accord.

Importing this loads the harness, which takes seconds.
"""

from typing import Any

from lm_eval.models.huggingface import HFLM

from trulysafe.models.load import ends_alone


class HarnessModel(HFLM):
    """The harness's model; nothing of how it reads and writes is changed, but what a model's ``generation_config.json``
    says beyond its special tokens: penalties there would make greedy answers others, unseen."""

    batch_size_per_gpu: int

    def __init__(self, **given: Any) -> None:
        super().__init__(**given)
        self.model.generation_config = ends_alone(self.model)
        self.set_cache_hook(self)
        self._of_batch: list[bool] = []
        self._ended: dict[str, bool] = {}

    def written(self, requests: list[Any]) -> list[tuple[str, bool]]:
        """Answers to requests of ``generate_until``, all in one batch, and whether each ended before its limit."""
        if not requests:
            return []
        to_read = self.batch_size_per_gpu
        self.batch_size_per_gpu = len(requests)
        texts = self.generate_until(requests, disable_tqdm=True)
        self.batch_size_per_gpu = to_read
        return [(text, self._ended[request.args[0]]) for request, text in zip(requests, texts, strict=True)]

    def _model_generate(self, context: Any, max_length: int, stop: list[str], **options: Any) -> Any:
        rows = super()._model_generate(context, max_length, stop, **options)
        self._of_batch = [self._ends(row, stop) for row in rows[:, context.shape[1] :].tolist()]
        return rows

    def _ends(self, row: list[int], stop: list[str]) -> bool:
        ends = self.model.generation_config.eos_token_id
        text = self.tok_decode(row, skip_special_tokens=False)
        listed = ends if isinstance(ends, list) else [ends]
        return any(token in listed for token in row) or any(part in text for part in stop if part)

    def add_partial(self, kind: str, key: tuple[Any, ...], answer: Any) -> None:
        """What the harness calls with every answer, in the order of its batch, for a cache."""
        if kind == "generate_until":
            self._ended[key[0]] = self._of_batch.pop(0)
