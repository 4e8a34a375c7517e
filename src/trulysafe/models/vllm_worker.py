"""vLLM in a process of its own: prompts in, responses out, both as token ids.

This file is run by the Python of another environment (``docs/environments.md``), in which nothing of this package is
installed: it imports vLLM and the standard library alone. It reads lines of JSON and answers each with one. The first
says how to load the model, the others what is asked of it; all that vLLM prints goes to the standard error. Its
argument is a folder that it removes in the end.
"""

import json
import os
import queue
import shutil
import sys
import threading
from importlib.metadata import version
from typing import Any


def main() -> None:
    """Answer until the other side closes the pipe."""
    replies = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # whatever vLLM prints is no reply
    lines: queue.Queue[str] = queue.Queue()
    threading.Thread(target=_read, args=(lines,), daemon=True).start()
    engine = None
    while True:
        asked = json.loads(lines.get())
        try:
            if engine is None:
                engine, reply = _loaded(**asked)
            else:
                reply = {"rows": _rows(engine, **asked)}
        except Exception as error:  # vLLM raises what it likes; the other side tells the user
            reply = {"error": f"{type(error).__name__}: {error}"}
        replies.write(json.dumps(reply) + "\n")
        replies.flush()


def _read(lines: "queue.Queue[str]") -> None:
    """Hand on what is asked. When the job has ended, however it did, this process ends too, in the middle of its work:
    it must hold neither a GPU nor merged weights."""
    for line in sys.stdin:
        lines.put(line)
    shutil.rmtree(sys.argv[1], ignore_errors=True)
    os._exit(0)


def _loaded(context: int | None, **given: Any) -> tuple[Any, dict[str, Any]]:
    """The engine, and what there is to tell of it: versions, and how many tokens its cache can hold of a sequence.
    ``context`` is how many the model can read, none where it names no limit."""
    import vllm
    from vllm.platforms import current_platform

    engine = vllm.LLM(
        **given,
        skip_tokenizer_init=True,  # token ids come in and go out
        generation_config="vllm",  # what a model's generation_config.json says would change answers unseen
        max_model_len=-1,  # the model's own, or what fits into the memory
        **(_on_cpu(context) if current_platform.is_cpu() else {}),
    )
    versions = {"vllm": vllm.__version__, "torch of vllm": version("torch")}
    return engine, {"versions": versions, "context": engine.llm_engine.model_config.max_model_len}


def _on_cpu(context: int | None) -> dict[str, Any]:
    """Without compilation, which takes longer than a job there, and whole prompts at once: vLLM 0.30.0 cannot take back
    what a request with a seed draws while a part of its prompt is unread ("CPU Generator does not use offset")."""
    batch = {} if context is None else {"max_num_batched_tokens": max(context, 2048)}
    return {"enforce_eager": True, "enable_chunked_prefill": False, **batch}


def _rows(engine: Any, prompts: list[list[int]], seeds: list[int], options: dict[str, Any]) -> list[list[int]]:
    """Responses, those of each prompt together; the samples of a prompt go on from its seed."""
    from vllm import SamplingParams

    asked = [{"prompt_token_ids": ids} for ids in prompts]
    found = engine.generate(asked, [SamplingParams(seed=seed, **options) for seed in seeds], use_tqdm=False)
    engine.reset_prefix_cache()  # so that no batch computes anything else because of the one before
    samples = [sorted(item.outputs, key=lambda sample: sample.index) for item in found]
    return [list(sample.token_ids) for item in samples for sample in item]


if __name__ == "__main__":
    main()
