"""How alike an arm's answers are (:mod:`trulysafe.evaluate.diversity`)."""

from trulysafe.evaluate.diversity import TEXT
from trulysafe.evaluate.metrics import POOLED
from trulysafe.report.run import Run, at_last_step, in_order
from trulysafe.report.table import Table, cells, spread

AXES = {"safety": "harmful", "over_refusal": "look-alikes", "helpfulness": "questions"}
COLUMNS = {
    "distinct_1": "Distinct-1",
    "distinct_2": "Distinct-2",
    "distinct_3": "Distinct-3",
    "self_bleu": "Self-BLEU",
    "self_bleu_same_prompt": "Self-BLEU, same prompt",
}
CAPTION = (
    "How alike the answers of an arm are at the end of training, per axis, over its risk classes. Distinct-n: "
    "different n-grams over all n-grams; self-BLEU: mean BLEU-4 of an answer against all others; same prompt: among "
    "the answers to one prompt, where there are several. Means over seeds of values per seed; brackets hold Student's "
    "95% intervals over seeds. Every arm is measured on the same prompts; n counts answers, all seeds."
)


def table(run: Run) -> Table | None:
    """One line per axis and arm; the numbers have every risk class."""
    metrics = run.metrics[(run.metrics["judge"] == TEXT) & (run.metrics["seed"] == POOLED)]
    rows = in_order(at_last_step(metrics.sort_values(["risk", "metric"], kind="stable")), run.arms)
    if rows.empty:
        return None
    rows = rows.assign(axis=rows["benchmark"].str.removeprefix("test/")).sort_values("axis", kind="stable")
    read = rows[(rows["risk"] == "all") & rows["axis"].isin(list(AXES))]
    read = read.sort_values("axis", key=lambda axes: axes.map(list(AXES).index), kind="stable")
    read = read.assign(
        n=read.groupby(["axis", "experiment"])["n"].transform("max"),
        cell=cells(read, "value"),
        column=read["metric"].map(COLUMNS),
        prompts=read["axis"].map(AXES),
    )
    about = {"prompts": "Prompts", "label": "Arm", "n": "n"}
    shown = spread(read, COLUMNS.values(), about, line=["axis", "experiment"])
    numbers = rows.rename(columns={"label": "arm"})
    columns = ["experiment", "arm", "benchmark", "risk", "metric", "value", "ci_low", "ci_high", "n"]
    return Table(numbers[columns].reset_index(drop=True), shown, CAPTION)
