"""Divergence of safe and unsafe responses per layer: printed by RBRM, recomputed from its released states, ours."""

from pathlib import Path

import pandas as pd

from trulysafe.report.run import Run
from trulysafe.report.table import NOT_RUN, Table
from trulysafe.report.tables.published import read_published

PRINTED, RELEASED = "rbrm_pca_kl_pdf.csv", "rbrm_released_hidden_states_recheck.csv"
SOURCES = {
    "Printed (first, second)": ("printed_first", "printed_second"),
    "Released states (forward, reverse)": ("released_forward", "released_reverse"),
    "Ours (forward, reverse)": ("ours_forward", "ours_reverse"),
}
CAPTION = (
    "Divergence (nats) between the densities of safe and unsafe responses in two principal components, per layer: "
    "printed in RBRM's figure, which does not say which class comes first; recomputed from the states that RBRM "
    "released; and ours (forward: safe from unsafe). The printed values do not follow from the released states."
)


def table(run: Run) -> dict[str, Table] | None:
    """One line per layer, one table per reward."""
    if run.published is None:
        return None
    ours: dict[str, pd.DataFrame | None] = {**run.layer_divergence} or {"": None}
    rows = {reward: divergence_rows(run.published, divergence) for reward, divergence in ours.items()}
    return {reward: Table(of_reward, _shown(of_reward), CAPTION) for reward, of_reward in rows.items()}


def divergence_rows(folder: Path | str, ours: pd.DataFrame | None = None) -> pd.DataFrame:
    """One row per layer: columns ``layer`` and those of :data:`SOURCES` (nats, missing where there is none). ``ours``
    is :attr:`trulysafe.report.run.Run.layer_divergence` of one reward, None where no layer analysis was run."""
    frames = []
    for name, columns in (
        (PRINTED, {"KL_first": "printed_first", "KL_second": "printed_second"}),
        (RELEASED, {"KL(safe": "released_forward", "KL(unsafe": "released_reverse"}),
    ):
        read = read_published(folder, name)
        read = read[read["benchmark"].str.match(r"layer \d+$")]
        for start, column in columns.items():
            rows = read[read["metric"].str.startswith(start)]
            layers = rows["benchmark"].str.removeprefix("layer ").astype(int)
            frames.append(pd.Series(pd.to_numeric(rows["value"]).to_numpy(), index=layers, name=column))
    if ours is not None:
        named = {"kl_safe_unsafe": "ours_forward", "kl_unsafe_safe": "ours_reverse"}
        frames += [ours.set_index("layer")[column].rename(name) for column, name in named.items()]
    return pd.concat(frames, axis=1).sort_index().rename_axis("layer").reset_index()


def _shown(rows: pd.DataFrame) -> pd.DataFrame:
    found = {"Layer": rows["layer"].tolist()}
    for name, columns in SOURCES.items():
        missing = NOT_RUN if name.startswith("Ours") else ""
        pairs = rows.reindex(columns=list(columns)).to_numpy(dtype=float)
        found[name] = [missing if pd.isna(pair).all() else f"{pair[0]:.2f}, {pair[1]:.2f}" for pair in pairs]
    return pd.DataFrame(found)
