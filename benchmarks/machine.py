"""What the machine is and what it can do at most: matrix products, copies; and the work that models need."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterable
from contextlib import suppress
from datetime import date
from pathlib import Path
from typing import Any

import torch
from benchmarks.measure import Way

from trulysafe.models.precision import cpu_has_bfloat16

SQUARE = {"cpu": 1024, "cuda": 8192}
"""Rows of the square matrices whose product shows the rate of a device."""
COPIED = {"cpu": 1 << 26, "cuda": 1 << 30}
"""Bytes of what is copied to show the bandwidth: beyond the caches."""


def described(device: str) -> dict[str, Any]:
    """Processor or GPU by name, its cores, threads, precision and load, torch's version, and the day."""
    name = torch.cuda.get_device_name() if device == "cuda" else _processor()
    return {
        "name": name,
        "cores": len(os.sched_getaffinity(0)),
        "threads": torch.get_num_threads(),
        "bf16": device == "cuda" or cpu_has_bfloat16(),
        "torch": torch.__version__,
        "python": platform.python_version(),
        "load": os.getloadavg()[0],
        "date": date.today().isoformat(),
    }


def _processor() -> str:
    """Name of the processor, with what of its instructions decides the speed here."""
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines() if Path("/proc/cpuinfo").exists() else []
    named = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.processor())
    flags = next((line.split(":")[1].split() for line in lines if line.startswith("flags")), [])
    if "ATEN_CPU_CAPABILITY" in os.environ:
        return f"{named} (kept to {torch.backends.cpu.get_cpu_capability().lower()})"
    best = [flag for flag in ("avx2", "avx512f", "avx512_bf16", "amx_bf16") if flag in flags]
    return f"{named} ({best[-1]})" if best else named


def matmul(dtype: torch.dtype, device: str, flops_per_unit: float) -> Way:
    """A product of square matrices as a way to do the work: its seconds per unit are what ``flops_per_unit`` FLOPs take
    at the machine's rate, nothing else waited for."""
    size = SQUARE[device]
    left, right = (torch.randn(size, size, dtype=dtype, device=device) for _ in range(2))
    out, times = torch.empty_like(left), 8

    def run() -> None:
        for _ in range(times):
            torch.mm(left, right, out=out)

    return Way(run, times * 2 * size**3 / flops_per_unit)


def copying(device: str, bytes_per_unit: float) -> Way:
    """A copy of memory as a way to do the work: its seconds per unit are what ``bytes_per_unit`` bytes read or written
    take at the machine's bandwidth."""
    source = torch.ones(COPIED[device], dtype=torch.uint8, device=device)
    target, times = torch.empty_like(source), 4

    def run() -> None:
        for _ in range(times):
            target.copy_(source)

    return Way(run, times * 2 * COPIED[device] / bytes_per_unit)


def body_parameters(config: Any) -> int:
    """Weights of the matrices in all layers of a Llama-shaped decoder, embeddings and head left out."""
    width, heads = config.hidden_size, config.num_attention_heads
    head = getattr(config, "head_dim", None) or width // heads
    attention = width * head * (2 * heads + 2 * config.num_key_value_heads)
    return config.num_hidden_layers * (attention + 3 * width * config.intermediate_size)


def forward_flops(config: Any, lengths: Iterable[int], head_places: float = 0) -> float:
    """FLOPs of one forward over sequences of these lengths: 2 per weight of the layers and token, causal attention
    (2 T^2 per layer and width of all heads), and the head at ``head_places`` positions."""
    head = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    wide, lengths = config.num_hidden_layers * config.num_attention_heads * head, list(lengths)
    layers = 2 * body_parameters(config) * sum(lengths) + 2 * wide * sum(length**2 for length in lengths)
    return layers + 2 * config.vocab_size * config.hidden_size * head_places


def peak_bytes() -> int:
    """Most memory of this process so far, bytes (Linux)."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return 1024 * int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM")))


def resident_bytes() -> int:
    """Memory of this process now, bytes (Linux)."""
    return os.sysconf("SC_PAGE_SIZE") * int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])


def forget_peak() -> None:
    """Let the peak of this process begin anew, where the kernel allows it."""
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
