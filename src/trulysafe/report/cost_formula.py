"""What pairs cost at the size of RBRM's experiments, by formula: online sampling beside re-ranking a pool.

RBRM claims about 300 times less overhead than online sampling, without a breakdown [abstract of arXiv:2503.10093].
With B pairs per step, n samples per prompt, N weights without embeddings, L layers of width D, P tokens of a prompt, R
of a response and T of both, a step that samples online pays, in FLOPs, ``2 N B (P + n R)`` for sampling, where a prompt
is read once, ``2 N T B n`` for the states that its reward reads, and ``4 N T B`` for the reference's forward over the
new pairs. A step that reads rewards off the states of its own forward pays ``2 B (2 L D + 2 L^2)``. A pool of M prompts
is paid once: as the pairs of a step are, with M for B.
"""

from pathlib import Path
from typing import NamedTuple

import pandas as pd

from trulysafe.report.table import Cell, Table
from trulysafe.report.tables.published import read_published
from trulysafe.trainers.step_cost import FORWARD, reading_flops

OPTIONS, MODELS = "rbrm_hyperparameters.csv", "rbrm_models.csv"
PROMPT_TOKENS, RESPONSE_FILL = 60, 0.6
"""Assumed, as in ``make plan``: tokens of a prompt, and share of the token limit that a response fills."""
CAPTION = (
    "Extrapolated by formula to RBRM's published setting ({setting}), with {prompt} tokens of a prompt and responses "
    "that fill {fill:.0%} of their limit (assumed). Per step: sampling, states for the reward and the reference's "
    "forward of an online step, over reading rewards off the training forward. Over the whole training re-ranking also "
    "pays for its pool, once: the paper's, or one with as many prompts as pairs are trained on. A ratio above 1 says "
    "that online sampling costs more. FLOPs as in the table of the measured steps."
)


class Setting(NamedTuple):
    """Pairs per step, steps, samples per prompt, prompts of the pool, tokens of a prompt and of a response."""

    pairs: float
    steps: float
    samples: float
    prompts: float
    prompt_tokens: float
    response_tokens: float


class Shape(NamedTuple):
    """Weights without embeddings, layers, and width of a hidden state."""

    parameters: float
    layers: float
    width: float


def online_step(setting: Setting, shape: Shape) -> float:
    """FLOPs that an online step spends on its pairs alone."""
    return setting.pairs * _of_prompt(setting, shape)


def reading_step(setting: Setting, shape: Shape) -> float:
    """FLOPs of reading the rewards of a step's pairs off states that are there."""
    return reading_flops(2 * setting.pairs, shape.layers, shape.width)


def pool_once(setting: Setting, shape: Shape, prompts: float) -> float:
    """FLOPs of sampling a pool, of its states, of ranking it, and of the reference's forward over its pairs."""
    return prompts * _of_prompt(setting, shape) + reading_flops(prompts * setting.samples, shape.layers, shape.width)


def _of_prompt(setting: Setting, shape: Shape) -> float:
    """FLOPs of the samples of one prompt, of their states, and of the reference's forward over a pair of them."""
    sampled = setting.prompt_tokens + setting.samples * setting.response_tokens
    read = (setting.samples + 2) * (setting.prompt_tokens + setting.response_tokens)
    return FORWARD * shape.parameters * (sampled + read)


def formula_rows(setting: Setting, shapes: dict[str, Shape]) -> pd.DataFrame:
    """Online over re-ranked per model, per step and over the whole training: columns model, case, prompts (of the
    pool), online and reranked (FLOPs), ratio."""
    rows = []
    for model, shape in shapes.items():
        online, reading = online_step(setting, shape), reading_step(setting, shape)
        rows.append((model, "per step", 0.0, online, reading))
        for case, prompts in (("the paper's pool", setting.prompts), ("equal pairs", setting.pairs * setting.steps)):
            reranked = pool_once(setting, shape, prompts) + setting.steps * reading
            rows.append((model, f"whole training, {case}", prompts, setting.steps * online, reranked))
    table = pd.DataFrame(rows, columns=["model", "case", "prompts", "online", "reranked"])
    return table.assign(ratio=table["online"] / table["reranked"])


def published_setting(folder: Path | str) -> Setting:
    """The setting of RBRM's released code, from ``resources/published``."""
    options = read_published(folder, OPTIONS).set_index("metric")["value"]
    batch, accumulation = options["per-device batch x accumulation"].split(" x ")
    steps, samples, prompts = (float(options[name]) for name in ("max_steps", "num_return_sequences", "prompts used"))
    response = RESPONSE_FILL * float(options["max_new_tokens"])
    return Setting(float(batch) * float(accumulation), steps, samples, prompts, PROMPT_TOKENS, response)


def published_shapes(folder: Path | str) -> dict[str, Shape]:
    """Sizes of the models that RBRM trains, from ``resources/published``."""
    read = read_published(folder, MODELS).pivot(index="model", columns="metric", values="value").astype(float)
    names = ["weights without embeddings", "layers", "hidden size"]
    return {str(model): Shape(*sizes) for model, sizes in zip(read.index, read[names].to_numpy(), strict=True)}


def extrapolated(folder: Path | str) -> Table:
    """The table of :func:`formula_rows` at RBRM's published setting."""
    setting = published_setting(folder)
    rows = formula_rows(setting, published_shapes(folder))
    shown = {
        "Model": rows["model"],
        "Compared": rows["case"],
        "Prompts of the pool": [f"{count:,.0f}" if count else "" for count in rows["prompts"]],
        "Online, FLOPs": [Cell(value, form=".2e") for value in rows["online"]],
        "Re-ranked, FLOPs": [Cell(value, form=".2e") for value in rows["reranked"]],
        "Ratio": [f"{value:,.2f}" if value < 100 else f"{value:,.0f}" for value in rows["ratio"]],
    }
    said = f"{setting.pairs:.0f} pairs per step, {setting.steps:.0f} steps, {setting.samples:.0f} samples per prompt"
    said += f", a pool of {setting.prompts:,.0f} prompts"
    return Table(rows, pd.DataFrame(shown), CAPTION.format(setting=said, prompt=PROMPT_TOKENS, fill=RESPONSE_FILL))
