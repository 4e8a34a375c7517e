"""The page of a run: its numbers are those of the tables, names are escaped, and what is not there is said."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from tests.unit.report_world import ARMS, BENCHMARKS, PUBLISHED, run_of
from tests.unit.small_configuration import changed
from tests.unit.test_cost_pages import timed
from tests.unit.test_people import judged
from trulysafe.common.files import write_json
from trulysafe.config.load import load
from trulysafe.evaluate.metrics import metric_rows
from trulysafe.evaluate.people import people_rows
from trulysafe.plan.plan import Plan
from trulysafe.report.page import page
from trulysafe.report.style import Drawing
from trulysafe.report.tables import by_judge, main, people, published
from trulysafe.report.tables import contrasts as contrasts_table
from trulysafe.workflow.provenance import manifest_path

ABOUT = {
    "models": [{"name": "tiny", "said": "trained from scratch"}],
    "arms": [
        {"label": about["label"], "model": "tiny", "method": "DPO (dpo)", "mix": "random: 4 harmful", "seeds": "3"}
        for about in ARMS.values()
    ],
    "benchmarks": [{"name": name, "axis": "safety", "datasets": ["test"], "by": ["oracle"]} for name in BENCHMARKS],
    "judges": [{"name": "oracle", "kind": "oracle", "model": None}],
}


class Read(HTMLParser):
    """Tables of a page as lists of rows, its images, and all of its text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tables: list[list[list[str]]] = []
        self.images: list[dict[str, str | None]] = []
        self.tags: list[str] = []
        self.text = ""
        self.in_cell = False
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        if tag == "table":
            self.tables.append([])
        elif tag == "tr":
            self.tables[-1].append([])
        elif tag in ("td", "th"):
            self.tables[-1][-1].append("")
            self.in_cell = True
        elif tag == "img":
            self.images.append(dict(attrs))
        elif tag == "br":
            self.handle_data(" ")

    def handle_endtag(self, tag: str) -> None:
        self.in_cell = self.in_cell and tag not in ("td", "th")

    def handle_data(self, data: str) -> None:
        self.text += data
        if self.in_cell:
            self.tables[-1][-1][-1] += data

    def table(self, head: str) -> list[list[str]]:
        """The first table with such a column, its head left out."""
        return next(rows[1:] for rows in self.tables if head in rows[0])


@pytest.fixture
def timings(tmp_path: Path) -> Path:
    return timed(tmp_path / "benchmarks", metrics=3.5, train__a=60.0, train__b=130.0)


def drawn(folder: Path, *names: str) -> Path:
    folder.mkdir()
    for name in names:
        figure, axes = plt.subplots(figsize=(3, 2))
        axes.plot([0, 1])
        Drawing(figure, pd.DataFrame({"x": [1]})).write(folder / name)
    return folder


def texts(shown: pd.DataFrame) -> list[list[str]]:
    return [[str(cell) for cell in row] for row in shown.to_numpy().tolist()]


def test_every_number_is_that_of_its_table(metrics: pd.DataFrame, contrasts: pd.DataFrame, timings: Path) -> None:
    run = run_of(metrics=metrics, contrasts=contrasts)
    read = Read(page("world", run, ABOUT, timings))
    assert read.table("Safe all") == texts(main.table(run)[""].shown)
    assert [rows[1:] for rows in read.tables if "Safe all" in rows[0]][1] == texts(main.table(run)["_amount"].shown)
    shown = contrasts_table.table(run).shown
    found = read.table("Finding")
    assert [row[:1] + row[2:] for row in found] == texts(shown)
    assert read.table("Rule") == [["train", "2", "3 min 10 s", "98%"], ["metrics", "1", "3.5 s", "2%"]]
    assert "3 timed jobs, 3 min 14 s of wall time" in read.text


def test_arms_stand_under_each_judge_where_there_are_several(verdicts: pd.DataFrame, timings: Path) -> None:
    strict = verdicts[verdicts["benchmark"] == "harmful"].assign(judge="strict", verdict="complies")
    run = run_of(metrics=metric_rows(pd.concat([verdicts, strict], ignore_index=True), BENCHMARKS, "id"))
    made = by_judge.table(run)
    assert made is not None
    assert Read(page("world", run, ABOUT, timings)).table("Safe, strict") == texts(made.shown)


def test_judges_stand_beside_people_where_responses_are_labelled(metrics: pd.DataFrame, timings: Path) -> None:
    rows = people_rows(judged("strict", ("safe", "complies"), ("unsafe", "complies"), ("safe", "refuses")))
    run = run_of(metrics=metrics, people=rows)
    made = people.table(run)
    assert made is not None
    assert Read(page("world", run, ABOUT, timings)).table("Bias") == texts(made.shown)


def test_what_differs_is_said_and_what_does_not_as_well(metrics: pd.DataFrame, timings: Path) -> None:
    row = {"contrast": "c", "primary": True, "a": "arm_1", "b": "arm_0", "metric": "over_refusal", "risk": "all"}
    row |= {"difference": -0.2, "ci_low": -0.3, "ci_high": -0.1, "detectable": 0.15, "p_value": 0.001, "p_holm": 0.003}
    row |= {"n": 120, "seeds": 3}
    rows = pd.DataFrame([
        row,
        row | {"metric": "safe", "p_holm": 0.01},  # less of it is worse
        row | {"metric": "helpful", "p_value": 0.01, "p_holm": 0.2},  # corrected, nothing is left
        row | {"metric": "safe", "primary": False, "p_value": 0.2, "p_holm": np.nan},
    ])  # fmt: skip
    read = Read(page("world", run_of(metrics=metrics, contrasts=rows), ABOUT, timings))
    nothing = "no difference shown"
    assert [row[1] for row in read.table("Finding")] == ["better", "worse", nothing, nothing]
    assert "2 of 3 primary contrasts differ" in read.text
    assert 'Better: "AMA | FDC" than "DPO_random & 50%"; over refusal (all): -0.200 [-0.300, -0.100].' in read.text
    assert 'Worse: "AMA | FDC" than "DPO_random & 50%"; safe (all)' in read.text
    assert "No difference was shown in 1 primary contrast." in read.text


def test_names_are_escaped(metrics: pd.DataFrame, contrasts: pd.DataFrame, timings: Path) -> None:
    name = """<script>alert("x")</script> & 'y'"""
    arms = ARMS | {"arm_1": ARMS["arm_1"] | {"label": name}}
    about = ABOUT | {
        "arms": [{**ABOUT["arms"][0], "label": name}],
        "judges": [{"name": name, "kind": "llm", "model": None}],
        "models": [{"name": name, "said": name}],
    }
    run = run_of(arms=arms, metrics=metrics, contrasts=contrasts.assign(p_holm=0.001, primary=True))
    read = Read(page(name, run, about, timings))
    assert "script" not in read.tags
    assert read.text.count(name) >= 6
    assert name in [row[0] for row in read.table("Safe all")]


def test_it_needs_no_other_file_and_no_script(metrics: pd.DataFrame, timings: Path, tmp_path: Path) -> None:
    figures = drawn(tmp_path / "figures", "plane", "plane_amount", "training", "kept_tokens")
    html = page("world", run_of(metrics=metrics), ABOUT, timings, figures=figures)
    assert not re.search(r"https?://|<link|<script|@import|url\(", html)
    images = Read(html).images
    assert [str(image["alt"]).split(".")[0] for image in images] == ["Plane", "Training"]  # the third holds texts
    assert all(str(image["src"]).startswith("data:image/png;base64,") for image in images)
    assert (images[0]["width"], images[0]["height"]) == ("432", "288")  # 3 x 2 inches
    assert "figures/plane.csv" in str(images[0]["alt"])


def test_four_figures_at_most_the_plane_first(metrics: pd.DataFrame, timings: Path, tmp_path: Path) -> None:
    names = ("layers", "classes", "training", "sweep_ehd", "plane_amount")
    read = Read(page("world", run_of(metrics=metrics), ABOUT, timings, figures=drawn(tmp_path / "figures", *names)))
    assert [str(image["alt"]).split(".")[0] for image in read.images] == ["Plane", "Training", "Classes", "Layers"]


def test_what_is_missing_is_said(metrics: pd.DataFrame, timings: Path, tmp_path: Path) -> None:
    read = Read(page("world", run_of(metrics=metrics), ABOUT, timings, figures=drawn(tmp_path / "figures")))
    assert "No figure was drawn." in read.text
    assert not read.images
    assert "No contrast was declared" in read.text
    assert "None of the paper's values stands beside ours" in read.text
    assert "no spread" not in read.text


def test_one_seed_has_no_spread_and_that_is_said(verdicts: pd.DataFrame, timings: Path) -> None:
    one = verdicts[(verdicts["seed"] == 0) | (verdicts["experiment"] == "arm_2")]
    read = Read(page("world", run_of(metrics=metric_rows(one, BENCHMARKS, "id")), ABOUT, timings))
    assert "One seed, so no spread over seeds: DPO_random & 50%; AMA | FDC." in read.text.replace("\n", " ")


def test_published_values_stand_beside_ours(metrics: pd.DataFrame, timings: Path) -> None:
    run = run_of(metrics=metrics, published=PUBLISHED)
    arm = {"model": "LLaMA3-8B-Instruct", "method": "Base"}
    read = pd.read_csv(PUBLISHED / "equilibrate_main_results.csv")
    known = read[(read["model"] == arm["model"]) & (read["method"] == arm["method"])]
    assert len(known)
    benchmark = known.iloc[0]["benchmark"]
    run.published_names = {
        "arms": {"base": arm},
        "benchmarks": {"harmful": {"published": benchmark, "judge": "oracle"}},
    }
    read_page = Read(page("world", run, ABOUT, timings))
    made = published.table(run)
    assert made is not None
    here = made.numbers["ours"].notna()
    assert 0 < here.sum() < len(here)
    assert read_page.table("Within") == texts(made.shown[here])
    assert f"{here.sum()} of the {len(here)} published values were measured here too" in read_page.text


def test_provenance_names_results_versions_and_commit(
    metrics: pd.DataFrame, timings: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name, version in (("metrics/metrics.parquet", "1.0"), ("tables", "2.0")):
        path = manifest_path(Path("results/world") / name)
        path.parent.mkdir(parents=True, exist_ok=True)
        manifest = {"provenance_id": f"id of {name}", "rule": "some", "notes": {}, "versions": {"torch": version}}
        write_json(path, {**manifest, "python": "3.11", "finished": f"2026-01-0{version[0]}T00:00:00Z"})
    made_from = ["results/world/metrics/metrics.parquet", "results/world/tables", "results/world/without"]
    read = Read(page("world", run_of(metrics=metrics), ABOUT, timings, made_from))
    assert [row[2] for row in read.table("Provenance id")] == ["id of metrics/metrics.parquet", "id of tables"]
    assert "torch 1.0 and 2.0" in read.text
    assert "Python 3.11" in read.text
    assert "from 2026-01-01T00:00:00Z to 2026-01-02T00:00:00Z" in read.text
    monkeypatch.setenv("PATH", "")
    assert "a commit that is not known" in page("world", run_of(metrics=metrics), ABOUT, timings)


def test_the_plan_says_what_was_run() -> None:
    mixes = {"mixes.random.flip": 0.25, "methods.ama_dpo.mask.control": "random"}
    about = Plan(load(changed(mixes))).report.what_was_run
    arms = {arm["name"]: arm for arm in about["arms"]}
    assert arms["base"]["method"] == "none"
    assert arms["dpo"]["mix"] == "random: 4 harmful, 4 general, 4 look_alike, 25% of the harmful ones flipped"
    assert arms["dpo"]["seeds"] == "2 (0 to 1)"
    assert arms["ama"]["method"] == "DPO, AMA mask, random tokens (ama_dpo)"
    assert arms["confidence"]["method"] == "DPO, label confidence (confidence_dpo)"
    assert [model["said"] for model in about["models"]] == ["trained from scratch by this workflow on corpus"]
    assert [of["by"] for of in about["benchmarks"]] == [["oracle", "refusal_phrases"], ["oracle"], ["oracle"]]
    assert {judge["kind"] for judge in about["judges"]} == {"oracle", "refusal_phrases"}
