"""What training did to the order of responses, beside what it did to their distribution, at each arm's last step."""

from trulysafe.report.run import Run, at_last_step, in_order
from trulysafe.report.table import Table, cells, spread

COLUMNS = {
    "kendall": "Kendall's tau",
    "spearman": "Spearman's rho",
    "same_best": "Same best",
    "pool_shift": "Pool shift",
    "fresh_shift": "New samples' shift",
    "token_js": "Token divergence",
    "class_tv": "Verdict distance",
}
"""Measures of :mod:`trulysafe.drift.measures`."""
CAPTION = (
    "Order and distribution of responses at the end of training, against the model that the pool was sampled from. "
    "Order: rank correlations of log-likelihoods per token within each pool prompt, and the share of prompts whose "
    "likeliest response stays. Distribution: mean change of the pool responses' log-likelihood (nats per token); "
    "log-likelihood of new samples under the reference, minus that of its own; Jensen-Shannon divergence of token "
    "frequencies (bits) and total variation distance of verdict shares between new samples of both. Brackets hold 95% "
    "intervals over seeds and prompt families (the last two: over seeds); after 'floor', what two sets of the "
    "reference's own samples give."
)


def table(run: Run) -> Table | None:
    """One line per arm."""
    if run.drift.empty:
        return None
    last = in_order(at_last_step(run.drift), run.arms)
    floors = last.dropna(subset="floor").groupby("measure")["floor"].first()
    headers = COLUMNS | {name: f"{COLUMNS[str(name)]} (floor {floor:.2f})" for name, floor in floors.items()}
    found = last.assign(cell=cells(last, "value"), column=last["measure"].map(headers))
    shown = spread(found, headers.values(), {"label": "Arm", "step": "Step", "seeds": "Seeds"})
    return Table(run.drift, shown, CAPTION)
