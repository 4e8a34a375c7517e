"""Tables, figures and summary: what is written, that it says the numbers it was given, and the same bytes twice."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.unit.report_world import BENCHMARKS, verdict_table
from trulysafe.contrasts import contrast_rows
from trulysafe.errors import UserError
from trulysafe.evaluation import POOLED, metric_rows
from trulysafe.frontiers import matched_safety
from trulysafe.judges.agreement import judge_agreement
from trulysafe.report.build import build_tables
from trulysafe.report.captions import main_caption
from trulysafe.report.figures import _apart, classes, sweep, wall_time
from trulysafe.report.layer_figures import layer_densities, panel_risks, reward_accuracy
from trulysafe.report.plane import plane
from trulysafe.report.published import divergence_rows, published_rows, published_text, read_published
from trulysafe.report.style import looks
from trulysafe.report.summary import summary
from trulysafe.report.tables import (
    NOT_RUN,
    duration,
    latex_escape,
    main_rows,
    main_text,
    p_text,
    to_latex,
    to_markdown,
    with_interval,
)
from trulysafe.report.training_figures import training_curves

ROOT = Path(__file__).parents[2]
PUBLISHED = ROOT / "resources/published"
ARMS = {
    "base": {"label": "Base model", "group": "main"},
    "arm_0": {"label": "DPO_random & 50%", "group": "main", "base": "base", "start": "base"},
    "arm_1": {"label": "AMA | FDC", "group": "main", "base": "base", "start": "base"},
    "arm_2": {"label": "EHD x2", "group": "amount", "base": "base", "start": "base"},
}
STARTS = dict.fromkeys(("arm_0", "arm_1", "arm_2"), "base")
TIMES = pd.DataFrame({"rule": ["train", "train", "judge"], "seconds": [60.0, 30.5, 4.25]})


@pytest.fixture(scope="module")
def verdicts() -> pd.DataFrame:
    found = verdict_table(arms=3)
    base = found[(found["experiment"] == "arm_0") & (found["step"] == 0) & (found["seed"] == 0)].assign(
        experiment="base"
    )
    return pd.concat([base, found[found["step"] > 0]], ignore_index=True)


@pytest.fixture(scope="module")
def metrics(verdicts: pd.DataFrame) -> pd.DataFrame:
    return metric_rows(verdicts, BENCHMARKS, "id")


@pytest.fixture(scope="module")
def contrasts(verdicts: pd.DataFrame) -> pd.DataFrame:
    declared = [
        {"name": metric, "a": "arm_1", "b": "arm_0", "metric": metric, "primary": metric != "safe"}
        for metric in ("safe", "over_refusal")
    ]
    return contrast_rows(
        verdicts, [*declared, {"name": "worse", "a": "arm_0", "b": "base", "metric": "over_refusal"}], BENCHMARKS
    )


def layer_tables(layers: int = 3, responses: int = 12) -> dict[str, pd.DataFrame]:
    rng = np.random.default_rng(0)
    accuracy = [
        {
            "layer": layer,
            "risk": risk,
            "accuracy": 0.6 + layer / 20,
            "n": 50,
            "ci_low": 0.5 + layer / 20,
            "ci_high": 0.7 + layer / 20,
        }
        for layer in range(layers + 1)
        for risk in ("all", "EHD", "other")
    ]
    points = [
        {"layer": layer, "label": label, "pc1": x, "pc2": y}
        for layer in range(1, layers + 1)
        for shift, label in enumerate(("safe", "unsafe"))
        for x, y in rng.normal(shift, 1, (responses, 2))
    ]
    layer_numbers = range(1, layers + 1)
    divergence = pd.DataFrame(
        {"layer": layer_numbers, "kl_safe_unsafe": 0.4, "kl_unsafe_safe": [-0.01, *[np.nan] * (layers - 1)]}
    )
    return {"accuracy": pd.DataFrame(accuracy), "components": pd.DataFrame(points), "divergence": divergence}


def training_log() -> pd.DataFrame:
    return pd.DataFrame(
        [
            {"experiment": arm, "seed": seed, "step": step, "name": name, "value": step / 100 + seed / 50}
            for arm in ("arm_0", "arm_1")
            for seed in range(3)
            for step in (5, 10, 15)
            for name in ("loss", "confidence", "grad_norm")
        ]
    )


# --- tables --------------------------------------------------------------------------------------------------------------


def test_main_rows_are_the_pooled_metric_rows(metrics: pd.DataFrame) -> None:
    rows = main_rows(metrics, ARMS)
    assert list(dict.fromkeys(rows["experiment"])) == list(ARMS)
    cell = rows[(rows["experiment"] == "arm_1") & (rows["column"] == "Safe IHD")].iloc[0]
    source = metrics[
        (metrics["policy"] == "arm_1/seeds/step40")
        & (metrics["benchmark"] == "test/safety")
        & (metrics["judge"] == "main")
    ]
    source = source[(source["risk"] == "IHD") & (source["metric"] == "safe")].iloc[0]
    assert cell[["value", "ci_low", "ci_high", "n"]].tolist() == source[["value", "ci_low", "ci_high", "n"]].tolist()
    assert (cell["seeds"], cell["step"]) == (3, 40)
    assert rows[rows["experiment"] == "base"]["seeds"].unique().tolist() == [1]


def test_the_main_table_needs_a_measured_arm(metrics: pd.DataFrame) -> None:
    with pytest.raises(UserError, match="none of the arms other"):
        main_rows(metrics, {"other": {}})


def test_cells_show_value_and_interval(metrics: pd.DataFrame) -> None:
    rows = main_rows(metrics, ARMS)
    text = main_text(rows)
    row = rows[(rows["experiment"] == "arm_0") & (rows["column"] == "Helpful")].iloc[0]
    assert (
        text.loc[text["Arm"] == "DPO_random & 50%", "Helpful"].item()
        == f"{row['value']:.2f} [{row['ci_low']:.2f}, {row['ci_high']:.2f}]"
    )
    assert list(text.columns[:4]) == ["Arm", "Step", "Seeds", "Safe EHD"]


def test_caption_gives_n_per_column(metrics: pd.DataFrame) -> None:
    caption = main_caption(main_rows(metrics, ARMS))
    assert "Safe EHD 40 to 120" in caption
    assert "95%" in caption


def test_numbers_as_text() -> None:
    assert with_interval(0.5, 0.25, 0.75) == "0.50 [0.25, 0.75]"
    assert with_interval(-0.001, float("nan"), float("nan")) == "0.00"
    assert with_interval(float("nan"), 0, 1) == ""
    assert [p_text(p) for p in (0.00001, 0.034567, 1.0, float("nan"))] == ["< 0.0001", "0.035", "1", ""]
    assert [duration(seconds) for seconds in (4.25, 59.96, 185, 7620)] == [
        "4.2 s",
        "60.0 s",
        "3 min 05 s",
        "2 h 07 min",
    ]


def test_latex_is_escaped_and_has_rules(metrics: pd.DataFrame) -> None:
    latex = to_latex(main_text(main_rows(metrics, ARMS)), "Shares, 95% of x_1 & more", "tab:main")
    assert r"DPO\_random \& 50\%" in latex
    assert r"\caption{Shares, 95\% of x\_1 \& more}\label{tab:main}" in latex
    assert all(rule in latex for rule in (r"\toprule", r"\midrule", r"\bottomrule", r"\end{table*}"))
    assert r"\begin{tabular}[c]{@{}c@{}}" in latex
    assert latex_escape(r"a\b{c}~^<#$") == r"a\textbackslash{}b\{c\}\textasciitilde{}\textasciicircum{}\textless{}\#\$"
    assert {line.count(" & ") for line in latex.splitlines() if line.endswith(r" \\")} == {10}


def test_markdown_escapes_bars(metrics: pd.DataFrame) -> None:
    lines = to_markdown(main_text(main_rows(metrics, ARMS))).splitlines()
    assert any(r"AMA \| FDC" in line for line in lines)
    assert len({line.replace(r"\|", "").count("|") for line in lines}) == 1


def test_every_table_is_written(
    tmp_path: Path, verdicts: pd.DataFrame, metrics: pd.DataFrame, contrasts: pd.DataFrame
) -> None:
    divergence = layer_tables()["divergence"]
    matched = matched_safety(metrics, starts=STARTS)
    paths = build_tables(
        tmp_path,
        metrics=metrics,
        arms=ARMS,
        contrasts=contrasts,
        matched=matched,
        judges=judge_agreement(pd.concat([verdicts, verdicts.assign(judge="phrases")]), BENCHMARKS),
        published=PUBLISHED,
        divergence={"hybrid": divergence},
    )
    names = ("main", "main_amount", "contrasts", "matched_safety", "judges", "published", "divergence")
    assert {path.name for path in paths} == {
        f"{name}.{ending}" for name in names for ending in ("md", "tex", "html", "csv")
    }
    assert all(path.stat().st_size > 30 for path in paths)
    assert "AMA | FDC - DPO_random &amp; 50%" in (tmp_path / "contrasts.html").read_text()
    assert "exploratory" in (tmp_path / "contrasts.md").read_text()
    assert "Base model" in (tmp_path / "main_amount.md").read_text()
    assert "AMA" not in (tmp_path / "main_amount.md").read_text()
    pd.testing.assert_frame_equal(
        pd.read_csv(tmp_path / "main.csv"),
        main_rows(metrics, {k: ARMS[k] for k in ("base", "arm_0", "arm_1")}),
        rtol=1e-5,
    )


# --- published numbers ---------------------------------------------------------------------------------------------------


def test_published_table_shows_last_version_and_spread() -> None:
    rows = published_rows(PUBLISHED).set_index(["model", "benchmark", "method"])
    cell = rows.loc[("LLaMA3-8B-Instruct", "WildChat-selected", "FDC+ADPO (14k)")]
    assert (cell["paper"], cell["lowest"], cell["highest"], cell["version"], cell["versions"]) == (
        0.935,
        0.935,
        0.97,
        3,
        3,
    )
    text = published_text(rows.reset_index())
    assert "Paper (v3)" in text
    assert set(text["Ours"]) == {NOT_RUN}
    assert len(text) == 128


def test_published_table_takes_our_runs() -> None:
    ours = pd.DataFrame(
        {
            "model": ["Qwen2-7B-Instruct"],
            "method": ["Base"],
            "benchmark": ["MMLU"],
            "value": [0.5],
            "ci_low": [0.4],
            "ci_high": [0.6],
            "n": [100],
        }
    )
    text = published_text(published_rows(PUBLISHED, ours))
    assert text.loc[text["Ours"] != NOT_RUN, ["Benchmark", "Ours"]].to_numpy().tolist() == [
        ["MMLU", "0.5000 [0.4000, 0.6000]"]
    ]


def test_published_divergence_has_all_layers() -> None:
    rows = divergence_rows(PUBLISHED, layer_tables()["divergence"])
    assert rows["layer"].tolist() == list(range(1, 33))
    assert rows.loc[
        1, ["printed_first", "printed_second", "released_forward", "released_reverse", "ours_forward"]
    ].tolist() == [11.54, 1.91, 0.46, 0.42, 0.4]


def test_missing_published_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"equilibrate_main_results\.csv: file not found"):
        published_rows(tmp_path)
    (tmp_path / "some.csv").write_text("paper,table\n")
    with pytest.raises(UserError, match="column 'model' is missing"):
        read_published(tmp_path, "some.csv")


# --- figures -------------------------------------------------------------------------------------------------------------


def test_plane_draws_the_pooled_frontiers(tmp_path: Path, metrics: pd.DataFrame) -> None:
    paths = plane(metrics, ARMS, tmp_path / "plane")
    assert [path.suffix for path in paths] == [".pdf", ".png", ".csv"]
    drawn = pd.read_csv(tmp_path / "plane.csv").set_index(["experiment", "seed", "step"])
    source = metrics[
        (metrics["policy"] == "arm_2/seeds/step20") & (metrics["judge"] == "main") & (metrics["risk"] == "all")
    ]
    for letter, metric in (("x", "over_refusal"), ("y", "safe")):
        row = source[
            (source["metric"] == metric) & source["benchmark"].isin(["test/safety", "test/over_refusal"])
        ].iloc[0]
        cell = drawn.loc[("arm_2", POOLED, 20)]
        assert cell[[letter, f"{letter}_low", f"{letter}_high", f"{letter}_n"]].tolist() == pytest.approx(
            row[["value", "ci_low", "ci_high", "n"]].tolist(), rel=1e-5
        )


def test_plane_needs_both_axes(tmp_path: Path, metrics: pd.DataFrame) -> None:
    with pytest.raises(UserError, match="axis over_refusal"):
        plane(metrics[metrics["metric"] != "over_refusal"], ARMS, tmp_path / "plane")


def test_sweep_csv_is_what_was_drawn(tmp_path: Path, metrics: pd.DataFrame) -> None:
    sweep(metrics, {"arm_2": 200, "arm_0": 0, "arm_1": 20}, tmp_path / "sweep", axis_label="Pairs")
    drawn = pd.read_csv(tmp_path / "sweep.csv")
    assert drawn.groupby("column")["x"].apply(list).map(tuple).unique().tolist() == [(0, 20, 200)]
    rows = main_rows(metrics, {"arm_1": {}}).set_index("column")["value"]
    assert drawn[drawn["x"] == 20].set_index("column")["value"].to_dict() == pytest.approx(rows.to_dict(), rel=1e-5)


def test_figures_of_few_columns(tmp_path: Path, metrics: pd.DataFrame) -> None:
    only = metrics[metrics["benchmark"] == "test/safety"]
    assert len(classes(only, ARMS, tmp_path / "classes")) == 3
    assert set(pd.read_csv(tmp_path / "classes.csv")["column"]) == {"Safe EHD", "Safe IHD", "Safe MHD", "Safe all"}


def test_wall_time_sums_jobs(tmp_path: Path) -> None:
    wall_time(TIMES, tmp_path / "time")
    assert pd.read_csv(tmp_path / "time.csv").to_numpy().tolist() == [["judge", 4.25, 1], ["train", 90.5, 2]]
    with pytest.raises(UserError, match="no job"):
        wall_time(TIMES.iloc[:0], tmp_path / "time")


def test_training_curves_leave_out_what_was_not_logged(tmp_path: Path) -> None:
    training_curves(training_log(), ARMS, tmp_path / "training")
    assert set(pd.read_csv(tmp_path / "training.csv")["name"]) == {"loss", "confidence"}
    with pytest.raises(UserError, match="Logged: confidence, grad_norm, loss"):
        training_curves(training_log(), ARMS, tmp_path / "training", names={"kept": "Kept"})


def test_layer_figures_take_degenerate_layers(tmp_path: Path) -> None:
    tables = layer_tables(layers=1, responses=2)
    assert len(layer_densities(tables["components"], tables["divergence"], tmp_path / "layers")) == 4
    assert len(reward_accuracy(tables["accuracy"], tmp_path / "accuracy")) == 3
    with pytest.raises(UserError, match=r"'sicher'.*safe, unsafe"):
        layer_densities(tables["components"].replace("safe", "sicher"), tables["divergence"], tmp_path / "layers")
    with pytest.raises(UserError, match="column 'ci_low' is missing"):
        reward_accuracy(tables["accuracy"].drop(columns="ci_low"), tmp_path / "accuracy")


@pytest.mark.parametrize("values", [[0.1, 0.5, 0.9], [0.5, 0.5, 0.5], [1.0, 1.0, 1.0], [0.0, 0.0], [0.98, 0.99, 1.0]])
def test_labels_stand_apart_near_their_curves(values: list[float]) -> None:
    heights = np.array(_apart(values, gap=0.1))
    assert (np.diff(heights) > 0.1 - 1e-9).all()
    assert heights.max() <= 1
    assert np.abs(heights - values).max() < 0.21


def test_arms_look_different_and_keep_their_look() -> None:
    arms = {f"arm {number}": {} if number == 3 else {"base": "arm 3"} for number in range(20)}
    found = looks(arms)
    assert len({(look.color, look.marker, str(look.dash)) for look in found.values()}) == 20
    assert found["arm 3"].marker == "*"
    assert looks({name: arms[name] for name in list(arms)[:5]})["arm 4"] == found["arm 4"]


def test_two_models_are_two_stars_and_each_arm_is_held_against_its_own(tmp_path: Path, metrics: pd.DataFrame) -> None:
    second = metrics[metrics["experiment"].isin(["base", "arm_0"])].replace(
        {"experiment": {"base": "base_2", "arm_0": "arm_3"}}
    )
    helpful = (second["metric"] == "helpful") & (second["experiment"] == "arm_3")
    second.loc[helpful, ["value", "ci_low", "ci_high"]] = [0.1, 0.05, 0.15]
    arms = {**ARMS, "base_2": {"label": "Base two"}, "arm_3": {"label": "DPO two", "base": "base_2", "start": "base_2"}}
    both = pd.concat([metrics, second], ignore_index=True)
    assert {look.color for look in looks(arms).values() if look.marker == "*"} == {"#000000", "#777777"}
    found = plane(both, arms, tmp_path / "plane")
    assert {"base", "base_2"} <= set(pd.read_csv(found[-1])["experiment"])
    against = summary("Two", both, arms).split("## Findings against, as measured")[1]
    line = next(line for line in against.splitlines() if "DPO two 0.10" in line)
    assert "of Base two, intervals apart" in line
    assert "DPO two" not in "".join(other for other in against.splitlines() if "of Base model" in other)


def test_figures_are_the_same_bytes_twice(tmp_path: Path, metrics: pd.DataFrame) -> None:
    first, second = (plane(metrics, ARMS, tmp_path / name / "plane") for name in ("first", "second"))
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in second]
    assert b"CreationDate" not in first[0].read_bytes()


@pytest.mark.slow
def test_every_figure_is_written_and_the_same_in_another_process(tmp_path: Path, metrics: pd.DataFrame) -> None:
    sweeps = {"ehd": {"label": "EHD pairs", "points": {"arm_0": 0, "arm_1": 60, "arm_2": 120}}}
    frames = {"metrics": metrics, "log": training_log(), **layer_tables()}
    for name, frame in frames.items():
        frame.to_parquet(tmp_path / f"{name}.parquet")
    code = (
        "import sys, pandas as pd\nfrom trulysafe.report.build import build_figures\n"
        f"frames = {{name: pd.read_parquet(f'{tmp_path}/{{name}}.parquet') for name in {list(frames)}}}\n"
        "from trulysafe.report.layer_figures import LayerTables\n"
        "layers = LayerTables(*(frames.pop(name) for name in LayerTables._fields))\n"
        f"build_figures(sys.argv[1], arms={ARMS}, sweeps={sweeps}, layers={{'hybrid': layers}}, **frames)"
    )
    for folder, hash_seed in (("first", "1"), ("second", "2")):
        environment = {"PYTHONPATH": ":".join(sys.path), "PYTHONHASHSEED": hash_seed}
        subprocess.run([sys.executable, "-c", code, str(tmp_path / folder)], check=True, env=environment)
    stems = (
        "plane",
        "classes",
        "training",
        "plane_amount",
        "classes_amount",
        "sweep_ehd",
        "reward_accuracy",
        "layers",
    )
    expected = {f"{stem}.{ending}" for stem in stems for ending in ("pdf", "png", "csv")} | {"layers_components.csv"}
    assert {path.name for path in (tmp_path / "first").iterdir()} == expected
    for path in (tmp_path / "first").iterdir():
        assert path.read_bytes() == (tmp_path / "second" / path.name).read_bytes(), path.name


# --- summary -------------------------------------------------------------------------------------------------------------


def test_summary_reports_what_went_against(metrics: pd.DataFrame, contrasts: pd.DataFrame) -> None:
    text = summary(
        "Demo",
        metrics,
        ARMS,
        contrasts=contrasts,
        matched=matched_safety(metrics),
        facts=["World seed 3."],
    )
    assert text.startswith("# Demo\n")
    assert "- World seed 3." in text
    assert "3 arms" not in text
    assert "4 arms, 1 to 3 seeds each. Prompts per seed: Safe EHD 40" in text
    against = text.split("## Findings against, as measured")[1]
    assert (
        "Worse, DPO_random & 50% than Base model, over refusal" in against
        or "No difference shown, DPO_random & 50% - Base model" in against
    )
    assert "Exploratory contrasts, uncorrected: 1." in text
    text = summary("Demo", metrics, ARMS, contrasts=contrasts.assign(primary=False, p_holm=np.nan))
    assert "No contrast was declared primary. Exploratory contrasts, uncorrected: 3." in text


def test_summary_of_metrics_alone(metrics: pd.DataFrame) -> None:
    text = summary("Demo", metrics, ARMS)
    assert "Declared contrasts" not in text
    assert "None of the checks found one." in text


def test_reward_accuracy_without_labels_has_one_panel() -> None:
    assert panel_risks(["not labelled", "all", "all"]) == ["all"]
    assert panel_risks(["not labelled", "MHD", "all", "EHD", "beta"]) == ["EHD", "MHD", "all", "beta", "not labelled"]
