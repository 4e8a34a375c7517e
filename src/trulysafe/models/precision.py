"""Precision of the weights: what the configuration names, or what the processor computes in (``dtype: auto``)."""

import logging
import timeit
from collections.abc import Mapping
from functools import cache
from importlib.util import find_spec
from typing import Any, get_args

from trulysafe.common.errors import UserError, not_accepted
from trulysafe.common.vocabulary import NF4, Dtype

logger = logging.getLogger("trulysafe")
DTYPES = get_args(Dtype)
AUTO = "auto"
CHOSEN: list[str] = []
"""Precisions and devices of the models that this process met, for the manifest of its job."""


def dtype_of(spec: Mapping[str, Any]) -> str:
    """Precision of a model's weights on this machine (``float32``, ``bfloat16``, ``float16`` or ``nf4``) by the
    ``dtype`` of how to load it, ``float32`` if not given; UserError where that is none of these and not ``auto``.

    ``auto`` is bfloat16 on GPUs and CPUs that compute in it, float32 elsewhere: where bfloat16 is emulated it is
    several times slower, and no more exact.
    """
    dtype = str(spec.get("dtype", "float32"))
    if dtype not in DTYPES:
        raise not_accepted("models.<name>.dtype", dtype, DTYPES)
    native, device = _device()
    found = dtype if dtype != AUTO else "bfloat16" if native else "float32"
    if (chosen := f"{found} on {device}") not in CHOSEN:
        CHOSEN.append(chosen)
        logger.info("Weights: %s", chosen)
        if found == "bfloat16" and not native:
            slow = f"takes {_slowdown():.1f} times as long as float32 (a product of two matrices, timed just now)"
            told = f"bfloat16 is emulated on {device}, which {slow}. Set it to auto or float32."
            logger.warning("models.<name>.dtype: %s", told)
    return found


def unquantised(spec: Mapping[str, Any]) -> dict[str, Any]:
    """How to load a model whose weights are to be written or all trained: never in 4 bits."""
    return {**spec, "dtype": AUTO} if spec.get("dtype") == NF4 else dict(spec)


def loading_options(spec: Mapping[str, Any]) -> dict[str, Any]:
    """Options of ``from_pretrained`` for a model's precision; UserError: 4 bits are asked and bitsandbytes is missing.

    4 bits are QLoRA's (Dettmers et al., 2023, arXiv 2305.14314): NormalFloat, its constants quantised again.
    Embeddings, norms and the language-model head stay in what ``auto`` is.
    """
    import torch

    if (dtype := dtype_of(spec)) != NF4:
        return {"dtype": getattr(torch, dtype)}
    if find_spec("bitsandbytes") is None:
        do = "Install it with make env EXTRA=gpu, or set bfloat16."
        raise UserError(f"models.<name>.dtype: 'nf4' needs bitsandbytes, which is not installed. {do}")
    from transformers import BitsAndBytesConfig

    computed = torch.bfloat16 if _device()[0] else torch.float32
    given = {"bnb_4bit_quant_type": NF4, "bnb_4bit_use_double_quant": True, "bnb_4bit_compute_dtype": computed}
    return {"dtype": computed, "quantization_config": BitsAndBytesConfig(load_in_4bit=True, **given)}


@cache
def _device() -> tuple[bool, str]:
    """Whether the device that models are put on computes in bfloat16, and its name."""
    import torch

    if torch.cuda.is_available():
        return torch.cuda.is_bf16_supported(including_emulation=False), torch.cuda.get_device_name()
    return cpu_has_bfloat16(), str(torch.cpu.get_capabilities().get("cpu_name") or "this CPU").strip()


def cpu_has_bfloat16() -> bool:
    """Whether torch computes in bfloat16 on this CPU: it has the instructions (x86: ``avx512_bf16``, ``amx_bf16``; ARM:
    ``bf16``, ``sve_bf16``), and torch was not told to keep to older ones (``ATEN_CPU_CAPABILITY=avx2``)."""
    import torch

    known, kept_to = torch.cpu.get_capabilities(), torch.backends.cpu.get_cpu_capability()
    on_x86 = kept_to not in ("AVX2", "DEFAULT") and any(known.get(name) for name in ("avx512_bf16", "amx_bf16"))
    return on_x86 or any(known.get(name) for name in ("bf16", "sve_bf16"))


def _slowdown() -> float:
    """How many times as long a product of matrices takes in bfloat16 as in float32, on the device in use."""
    import torch

    def seconds(dtype: torch.dtype) -> float:
        matrix = torch.ones(512, 512, dtype=dtype, device="cuda" if torch.cuda.is_available() else "cpu")
        return min(timeit.repeat(lambda: (matrix @ matrix).sum().item(), number=1, repeat=5))

    return seconds(torch.bfloat16) / seconds(torch.float32)
