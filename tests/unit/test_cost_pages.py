"""The folder of costs: times by rule, and nothing of what was not measured."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import jinja2
import pandas as pd

from trulysafe.report.cost_pages import write_costs
from trulysafe.report.job_times import job_times
from trulysafe.report.run import Run


def timed(folder, **jobs):
    for name, seconds in jobs.items():
        path = folder / f"{name.replace('__', '/')}.tsv"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"s\th:m:s\n{seconds}\t0:00:01\n", encoding="utf-8")
    return folder


def test_jobs_are_counted_to_the_rule_that_their_path_begins_with(tmp_path):
    times = job_times(timed(tmp_path, metrics=3.5, train__a=10.0, train__b=20.0))
    assert times.groupby("rule")["seconds"].sum().to_dict() == {"metrics": 3.5, "train": 30.0}


def test_nothing_is_written_of_what_was_not_measured(tmp_path):
    folder = tmp_path / "cost"
    run = Run({"policies": [tmp_path]}, {"arms": {}})
    write_costs(folder, run, timings=timed(tmp_path / "benchmarks", metrics=3.5), planned={})
    assert {path.name for path in folder.iterdir()} == {
        "per_rule.csv",
        "wall_time.csv",
        "wall_time.pdf",
        "wall_time.png",
    }
    assert pd.read_csv(folder / "per_rule.csv")["rule"].tolist() == ["metrics"]


def test_each_page_of_the_report_has_its_caption():
    template = jinja2.Template((Path(__file__).parents[2] / "workflow/report/cost.rst").read_text(encoding="utf-8"))
    captions = [
        template.render(snakemake=SimpleNamespace(wildcards=SimpleNamespace(name=name)))
        for name in ("wall_time", "training", "whole_trainings", "extrapolated")
    ]
    for caption, said in zip(
        captions, ("per rule", "per training step", "over whole trainings", "by formula"), strict=True
    ):
        assert [said in other for other in captions] == [other == caption for other in captions]
