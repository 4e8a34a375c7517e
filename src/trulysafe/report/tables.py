"""The tables of a report, each as Markdown, LaTeX (booktabs), HTML and CSV: the first three to read, the CSV to compute with."""

from __future__ import annotations

import re
from html import escape
from math import isnan
from pathlib import Path
from typing import Any

import pandas as pd

from trulysafe.common.errors import UserError
from trulysafe.evaluate.metrics import POOLED
from trulysafe.judges.outcomes import MAIN
from trulysafe.report.arms import Arms, in_order, label_of, line_per_arm

MAIN_COLUMNS: dict[str, tuple[str, str, str]] = {
    "Safe EHD": ("safety", "EHD", "safe"),
    "Safe IHD": ("safety", "IHD", "safe"),
    "Safe MHD": ("safety", "MHD", "safe"),
    "Safe all": ("safety", "all", "safe"),
    "Over-refusal": ("over_refusal", "all", "over_refusal"),
    "Helpful": ("helpfulness", "all", "helpful"),
    "Malformed": ("all", "all", "malformed"),
    "Truly safe": ("all", "all", "truly_safe"),
}
"""Columns of the main table: axis, risk class and metric of the pooled summary rows."""
NOT_RUN = "not run at this scale"
_PAGE_ROWS = 40
_INTERVAL = re.compile(r"(\S+) (\[[^\]]*\].*)$")
_LATEX = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}",
}  # fmt: skip

_STYLE = (
    "body{font:14px/1.45 system-ui,sans-serif;color:#222;background:#fff;margin:1em}"
    "table{border-collapse:collapse;border-top:2px solid #222;border-bottom:2px solid #222;font-variant-numeric:tabular-nums}"
    "th,td{padding:.3em .7em;text-align:left;white-space:nowrap}thead th{border-bottom:1px solid #222;white-space:normal}"
    "tbody tr:nth-child(even){background:#f5f5f5}small{color:#555}p{max-width:60em}"
)


def main_rows(metrics: pd.DataFrame, arms: Arms) -> pd.DataFrame:
    """The numbers of the main table, one row per arm at its last step and column that was measured.

    Args:
        metrics: table of schema ``metrics`` with summary rows.
        arms: experiments to show, in order; those without metrics are left out.

    Returns:
        Columns experiment, label, step, seeds (how many are pooled), column, value, ci_low, ci_high, n.

    Raises:
        UserError: no arm was measured on test benchmarks.
    """
    rows = at_last_step(metrics[metrics["judge"] == MAIN])
    seeds = rows[rows["seed"] != POOLED].groupby("experiment")["seed"].nunique()
    pooled = rows[rows["seed"] == POOLED]
    found = []
    for experiment in arms:
        for column, (axis, risk, metric) in MAIN_COLUMNS.items():
            cell = pooled[
                (pooled["experiment"] == experiment)
                & (pooled["benchmark"] == f"test/{axis}")
                & (pooled["risk"] == risk)
                & (pooled["metric"] == metric)
            ]
            head = {"experiment": experiment, "label": label_of(arms, experiment), "column": column}
            found += [
                {**head, "seeds": int(seeds[experiment]), **row}
                for row in cell[["step", "value", "ci_low", "ci_high", "n"]].to_dict("records")
            ]
    if not found:
        raise UserError(
            f"main table: none of the arms {', '.join(arms)} has metrics on test benchmarks. Answer and judge a benchmark with purpose: test."
        )
    return pd.DataFrame(found)[["experiment", "label", "step", "seeds", "column", "value", "ci_low", "ci_high", "n"]]


def at_last_step(metrics: pd.DataFrame) -> pd.DataFrame:
    """Rows of each experiment at its last step."""
    return metrics[metrics["step"] == metrics.groupby("experiment")["step"].transform("max")]


def main_text(rows: pd.DataFrame) -> pd.DataFrame:
    """Lay the numbers of :func:`main_rows` out for reading: one line per arm, ``value [low, high]`` in the cells."""
    about = {"label": "Arm", "step": "Step", "seeds": "Seeds"}
    return line_per_arm(rows.assign(text=intervals(rows, "value")), MAIN_COLUMNS, about)


def intervals(rows: pd.DataFrame, value: str, digits: int = 2) -> list[str]:
    """:func:`with_interval` of every row, from the columns ``value``, ci_low and ci_high."""
    numbers = rows[[value, "ci_low", "ci_high"]].to_numpy(dtype=float)
    return [with_interval(float(row[0]), float(row[1]), float(row[2]), digits) for row in numbers]


def with_interval(value: float, low: float, high: float, digits: int = 2) -> str:
    """``0.87 [0.82, 0.91]``; the value alone where there are no limits, nothing where there is no value."""
    if isnan(value):
        return ""
    number = _signed(value, digits)
    return number if isnan(low) else f"{number} [{_signed(low, digits)}, {_signed(high, digits)}]"


def _signed(value: float, digits: int) -> str:
    text = f"{value:.{digits}f}"
    return text.lstrip("-") if float(text) == 0 else text


def contrast_text(contrasts: pd.DataFrame, arms: Arms) -> pd.DataFrame:
    """Lay declared contrasts out for reading, the primary ones first; p-values of exploratory ones are uncorrected."""
    rows = contrasts.sort_values("primary", ascending=False, kind="stable")
    return pd.DataFrame(
        {
            "Contrast": [
                f"{label_of(arms, a)} - {label_of(arms, b)}" for a, b in zip(rows["a"], rows["b"], strict=True)
            ],
            "Metric": rows["metric"].str.replace("_", " ").to_list(),
            "Risk": rows["risk"].to_list(),
            "Difference": intervals(rows, "difference", digits=3),
            "p": [p_text(p) for p in rows["p_value"]],
            "p (Holm)": [
                p_text(p) if primary else "exploratory"
                for p, primary in zip(rows["p_holm"], rows["primary"], strict=True)
            ],
            "n": rows["n"].to_list(),
            "Seeds": rows["seeds"].to_list(),
        }
    )


def p_text(p_value: float) -> str:
    """A p-value to two digits, never as zero."""
    return "" if pd.isna(p_value) else "< 0.0001" if p_value < 1e-4 else f"{p_value:.2g}"


def write_tables(stem: Path | str, text: pd.DataFrame, tidy: pd.DataFrame, caption: str, label: str) -> list[Path]:
    """Write ``stem.md``, ``stem.tex`` and ``stem.html`` from the text and ``stem.csv`` from the numbers; returns the paths."""
    written = {
        "md": f"{to_markdown(text)}\n\n{caption}\n",
        "tex": to_latex(text, caption, label),
        "html": to_html(text, caption),
        "csv": tidy.to_csv(index=False, lineterminator="\n", float_format="%.6g"),
    }
    Path(stem).parent.mkdir(parents=True, exist_ok=True)
    paths = [Path(f"{stem}.{ending}") for ending in written]
    for path, content in zip(paths, written.values(), strict=True):
        path.write_text(content, encoding="utf-8", newline="\n")
    return paths


def to_markdown(text: pd.DataFrame) -> str:
    """A Markdown table; bars in cells are escaped."""
    return text.astype(str).map(lambda cell: cell.replace("|", r"\|")).to_markdown(index=False, disable_numparse=True)


def to_html(text: pd.DataFrame, caption: str) -> str:
    """A page that holds the table and its caption and needs nothing else."""
    cells = text.astype(str).map(_html_cell).rename(columns=escape)
    body = cells.to_html(index=False, border=0, escape=False)
    return f'<!DOCTYPE html>\n<meta charset="utf-8">\n<style>{_STYLE}</style>\n{body}\n<p>{escape(caption)}</p>\n'


def to_latex(text: pd.DataFrame, caption: str, label: str) -> str:
    """A LaTeX ``table*`` (``longtable`` where a page is too short) with booktabs rules.

    Special characters are escaped, and intervals stand under their values.
    """
    cells = text.astype(str).map(_latex_cell).rename(columns=latex_escape)
    options: dict[str, Any] = {"index": False, "escape": False, "column_format": "l" + "c" * (text.shape[1] - 1)}
    if len(text) > _PAGE_ROWS:
        body = cells.to_latex(longtable=True, caption=latex_escape(caption), label=label, **options)
        return f"{{\\footnotesize\\setlength{{\\tabcolsep}}{{3pt}}\n{body}}}\n"
    head = "\\begin{table*}[t]\\centering\\footnotesize\\setlength{\\tabcolsep}{3pt}\n"
    return f"{head}\\caption{{{latex_escape(caption)}}}\\label{{{label}}}\n{cells.to_latex(**options)}\\end{{table*}}\n"


def latex_escape(text: str) -> str:
    """Escape the characters that are special in LaTeX text."""
    return "".join(_LATEX.get(character, character) for character in str(text))


def _html_cell(text: str) -> str:
    split = _INTERVAL.match(text)
    return escape(text) if split is None else f"{escape(split[1])}<br><small>{escape(split[2])}</small>"


def _latex_cell(text: str) -> str:
    split = _INTERVAL.match(text)
    if split is None:
        return latex_escape(text)
    value, limits = latex_escape(split[1]), latex_escape(split[2])
    return rf"\begin{{tabular}}[c]{{@{{}}c@{{}}}}{value}\\{{\scriptsize {limits}}}\end{{tabular}}"


def matched_text(matched: pd.DataFrame, arms: Arms) -> pd.DataFrame:
    """Lay over-refusal at matched safety out for reading: one line per arm, one column per level."""
    pooled = in_order(matched[matched["seed"] == POOLED], arms)
    columns = {level: f"at {level:g} safe" for level in sorted(pooled["level"].unique())}
    cells = []
    for row, text in zip(pooled.to_dict("records"), intervals(pooled, "value"), strict=True):
        cells.append(f"{text or row['status']} ({int(row['reached'])} of {int(row['seeds'])} seeds)")
    lines = pooled.assign(text=cells, column=pooled["level"].map(columns))
    return line_per_arm(lines, columns.values(), {"label": "Arm"})


def judges_text(agreement: pd.DataFrame) -> pd.DataFrame:
    """Lay :func:`trulysafe.evaluate.judge_agreement.judge_agreement` out for reading."""
    return pd.DataFrame(
        {
            "Benchmark": agreement["benchmark"].str.replace("_", " "),
            "Outcome": agreement["outcome"].str.replace("_", " "),
            "Main judge": agreement["main"],
            "Share": agreement["main_share"].map("{:.2f}".format),
            "Other judge": agreement["judge"],
            "Its share": agreement["share"].map("{:.2f}".format),
            "Agreement": intervals(agreement, "agreement"),
            "Kappa": agreement["kappa"].map(lambda kappa: "" if isnan(kappa) else f"{kappa:.2f}"),
            "n": agreement["n"],
        }
    )


def time_rows(times: pd.DataFrame) -> pd.DataFrame:
    """Sum wall time over the jobs of each rule, longest first: columns rule, seconds, jobs."""
    found = times.groupby("rule")["seconds"].agg(seconds="sum", jobs="count").reset_index()
    return found.sort_values(["seconds", "rule"], ascending=[False, True], ignore_index=True)


def duration(seconds: float) -> str:
    """``12.3 s``, ``3 min 05 s`` or ``2 h 07 min``."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    return (
        f"{whole // 60} min {whole % 60:02d} s" if whole < 3600 else f"{whole // 3600} h {whole % 3600 // 60:02d} min"
    )
