"""vLLM as what writes the responses of a model (Kwon et al., 2023, arXiv 2309.06180), in an environment of its own.

vLLM needs other versions of packages than the lock has, so it runs in a process of another Python
(:mod:`trulysafe.models.vllm_worker`). Token ids go there and come back: the chat template, what ends a response and the
rows that come of it are those of :mod:`trulysafe.models.sampling`.

Each prompt has a seed of its own, made of the block's and of its tokens. On one machine the same block gives the same
responses; they are not those that transformers draws, and greedy ones differ where two tokens are as likely but for
rounding.
"""

import json
import logging
import os
import subprocess
import sys
import tempfile
import weakref
from contextlib import suppress
from pathlib import Path
from typing import Any

from trulysafe.common.errors import UserError
from trulysafe.common.ids import stable_seed
from trulysafe.common.vocabulary import VLLM_TEMPERATURES
from trulysafe.models.decoding import Decoding
from trulysafe.models.load import Spec, config_of, context_of, ends_of, is_adapter, load_model
from trulysafe.models.precision import dtype_of
from trulysafe.models.sampling import ended
from trulysafe.models.tokens import end_of_turn_id

logger = logging.getLogger("trulysafe")
ENVIRONMENT, MEMORY = "TRULYSAFE_VLLM", "TRULYSAFE_VLLM_MEMORY"
"""Environment variables: the folder of vLLM's environment, and the share of a GPU's memory that it takes."""
VERSIONS: dict[str, str] = {}
"""Versions of vLLM and its PyTorch that this process worked with, for the manifest of its job."""
_CLONE = Path(__file__).resolve().parents[3]
_WORKER = Path(__file__).with_name("vllm_worker.py")
_DO = "or set batching.backend to transformers"
_SETTINGS = {
    "VLLM_ENABLE_V1_MULTIPROCESSING": "0",  # the scheduler then does the same again for the same block
    "VLLM_NO_USAGE_STATS": "1",
    "VLLM_LOGGING_LEVEL": "WARNING",
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",
    "VLLM_CPU_KVCACHE_SPACE": "1",
}
"""Settings of vLLM that hold where the user's environment gives none; the space is in GiB and for CPUs alone."""
_running: "weakref.ref[Engine] | None" = None
"""The engine whose process runs: a GPU has room for one."""


class Engine:
    """A causal language model that vLLM runs; its process starts with the first prompt.

    Only one process runs at a time: that of another engine ends when this one's starts, and starts again when it is
    asked again. UserError: nothing can be loaded from ``source``, or there is no environment with vLLM.
    """

    together = 256
    """Prompts to ask at once where their number is free; vLLM makes its own batches of them."""

    def __init__(self, spec: Spec) -> None:
        environment()
        self.spec = dict(spec)
        self.config = config_of(spec)
        self._ends = ends_of(spec)
        self._process: _Process | None = None

    def drawn(self, tokenizer: Any, prompts: list[list[int]], decoding: Decoding, seed: int) -> list[list[int]]:
        """Responses to a block of prompts, all as token ids, as :func:`trulysafe.models.sampling.generated` gives them;
        ``seed`` is the block's. UserError: vLLM does not take the options, the model or the prompts."""
        end = end_of_turn_id(tokenizer)
        stops = {end, *self._ends}
        asked = {
            "prompts": prompts,
            "seeds": [stable_seed("vllm", seed, *ids) for ids in prompts],
            "options": sampling_options(decoding, stops),
        }
        return [ended(row, stops, end) for row in self._started().ask(asked)["rows"]]

    def stop(self) -> None:
        """End the process, if it runs, and free what it holds."""
        if self._process is not None:
            self._process.stop()
        self._process = None

    def _started(self) -> "_Process":
        global _running
        if self._process is None:
            before = _running() if _running else None
            if before is not None:
                before.stop()
            self._process, _running = _Process(self.spec), weakref.ref(self)
        return self._process


def sampling_options(decoding: Decoding, stops: set[int]) -> dict[str, Any]:
    """Arguments of vLLM's ``SamplingParams`` but for the seed; ``stops`` are the tokens that end a response. UserError:
    a temperature that vLLM would change or refuse."""
    low, high = VLLM_TEMPERATURES
    if decoding.temperature and not low <= decoding.temperature <= high:
        accepted = f"0 and {low:g} to {high:g}"
        raise UserError(f"temperature: vLLM does not take {decoding.temperature:g}. Accepted: {accepted}; {_DO}.")
    options = {
        "max_tokens": decoding.max_new_tokens,
        "repetition_penalty": decoding.repetition_penalty,
        "stop_token_ids": sorted(stops),
        "ignore_eos": True,  # those above are all
        "detokenize": False,
        "temperature": decoding.temperature,
    }
    if decoding.temperature == 0:
        return options
    return {**options, "n": decoding.samples, "top_k": decoding.top_k or -1, "top_p": decoding.top_p}


def environment() -> Path:
    """The Python that vLLM runs on; UserError where there is none."""
    folder = Path(os.environ.get(ENVIRONMENT) or _CLONE / ".venv-vllm").expanduser()
    python = folder / "bin" / "python"
    if not python.is_file():
        found = f"batching.backend: vllm runs in an environment of its own, and {python} is not there"
        do = f"Make it with `make env-vllm`, name the folder of another one in {ENVIRONMENT}, {_DO}"
        raise UserError(f"{found}. {do}.")
    return python


class _Process:
    """A process that holds the model of ``spec``."""

    def __init__(self, spec: Spec) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="trulysafe-vllm-")
        self._said = Path(self._folder.name) / "stderr"
        given = self._arguments(spec)
        with self._said.open("wb") as said:
            self._process = subprocess.Popen(
                [environment(), "-P", _WORKER, self._folder.name],  # -P: modules beside the script are none of its own
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=said, env=_variables(), text=True,
            )  # fmt: skip
        self.stop = weakref.finalize(self, _end, self._process, self._folder)
        try:
            told = self.ask(given)
        except BaseException:
            self.stop()
            raise
        VERSIONS.update(told["versions"])
        if told["context"] < (own := context_of(config_of(spec))):
            logger.info("vLLM: the memory has room for %d of the model's %g positions", told["context"], own)

    def ask(self, asked: dict[str, Any]) -> dict[str, Any]:
        """One line there and one back (UserError: vLLM refuses it, or its process ended)."""
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None and stdout is not None  # noqa: PT018
        try:
            stdin.write(json.dumps(asked) + "\n")
            stdin.flush()
            reply = json.loads(stdout.readline())
        except (OSError, ValueError):
            reply = {"error": self._last_words()}
        if "error" in reply:
            raise UserError(f"vLLM: {reply['error']}. Change what it names, {_DO}.")
        return dict(reply)

    def _arguments(self, spec: Spec) -> dict[str, Any]:
        """Arguments of ``vllm.LLM``. A LoRA policy is merged as everywhere, into a folder for the time being."""
        source = str(spec["source"])
        named = {"revision": spec["revision"]} if spec.get("revision") else {}
        if is_adapter(spec):
            source, named = f"{self._folder.name}/merged", {}
            load_model(spec, "cpu").save_pretrained(source)
        share = float(os.environ.get(MEMORY, "0.85"))
        context = context_of(config_of(spec))
        given = {"model": source, **named, "dtype": dtype_of(spec), "gpu_memory_utilization": share, "seed": 0}
        return {**given, "context": None if context == float("inf") else int(context)}

    def _last_words(self) -> str:
        """The last error that an ended process wrote, without what led to it."""
        code = self._process.wait()
        lines = self._said.read_text(encoding="utf-8", errors="replace").splitlines()
        errors = [line for line in lines if "Error" in line]
        return f"its process ended with {code}; {errors[-1].strip() if errors else 'it said nothing'}"


def _variables() -> dict[str, str]:
    """Environment of the process: this one's without what leads to other packages, and as many threads as here."""
    import torch

    kept = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PYTHONHOME")}
    return {**_SETTINGS, **kept, "OMP_NUM_THREADS": str(torch.get_num_threads())}


def _end(process: "subprocess.Popen[str]", folder: "tempfile.TemporaryDirectory[str]") -> None:
    """Close the pipe, upon which the process ends; where it does not, kill it. Then remove its folder."""
    if process.stdin is not None:
        with suppress(BrokenPipeError):  # it has ended, and something was still to be sent
            process.stdin.close()
    try:
        process.wait(timeout=20)
    except subprocess.TimeoutExpired:
        print("vLLM's process does not end and is killed", file=sys.stderr)
        process.kill()
        process.wait()
    if process.stdout is not None:
        process.stdout.close()
    folder.cleanup()
