"""Tables and figures are found by the names of their modules; the rule declares what they may be made of."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from tests.unit.report_world import run_of
from trulysafe.common.kinds import Kinds
from trulysafe.report import listed
from trulysafe.report.run import Run
from trulysafe.workflow.fingerprint import fingerprint

WORKFLOW = Path(__file__).parents[2] / "workflow"

NEW = '''"""How many rows of metrics each arm has."""

from trulysafe.report.run import Run
from trulysafe.report.table import Table

CAPTION = "Rows of metrics per arm."


def table(run: Run) -> Table:
    """One line per arm."""
    rows = run.metrics.groupby("experiment").size().rename("rows").reset_index()
    return Table(rows, rows.rename(columns={"experiment": "Arm", "rows": "Rows"}), CAPTION)
'''


@pytest.fixture
def room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Kinds:
    """A folder of tables that holds one, which nothing else names."""
    (tmp_path / "new_tables").mkdir()
    (tmp_path / "new_tables/__init__.py").write_text('"""Tables."""\n', encoding="utf-8")
    (tmp_path / "new_tables/counts.py").write_text(NEW, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    return Kinds("new_tables", "a table")


def test_a_new_table_is_one_module(
    room: Kinds, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, metrics: pd.DataFrame
) -> None:
    monkeypatch.setattr(listed, "TABLES", room)
    paths = listed.write_tables(tmp_path / "tables", run_of(metrics=metrics))
    assert {path.name for path in paths} == {f"counts.{ending}" for ending in ("md", "tex", "html", "csv")}
    assert "tab:counts" in (tmp_path / "tables/counts.tex").read_text(encoding="utf-8")
    assert listed.captions(room) == {"counts": "Rows of metrics per arm."}
    assert listed.modules(room) == ["new_tables.counts"]


@pytest.mark.parametrize(("room", "function"), [(listed.TABLES, "table"), (listed.FIGURES, "figure")])
def test_every_module_has_its_function_and_its_caption(room: Kinds, function: str) -> None:
    for name in room.names:
        module = room.module(name)
        assert callable(getattr(module, function)), name
        assert getattr(module, "CAPTION", None) or module.CAPTIONS, name


def test_every_figure_of_a_run_has_one_caption_in_the_page() -> None:
    captions = listed.captions(listed.FIGURES)
    assert set(captions) == set(listed.FIGURES.names)
    assert all(len([name for name in captions if other.startswith(name)]) == 1 for other in captions)


def test_the_snakefile_reads_the_list_without_loading_what_draws() -> None:
    code = (
        "import sys\nfrom trulysafe.report.listed import *\n"
        "assert captions(FIGURES) and modules(TABLES)\nprint({'matplotlib', 'pandas', 'torch'} & set(sys.modules))"
    )
    environment = {"PYTHONPATH": ":".join(sys.path)}
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    assert found.stdout.strip() == "set()"


def test_the_code_of_a_table_is_in_the_fingerprint_of_its_rule() -> None:
    script = WORKFLOW / "scripts/draw_tables.py"
    every = listed.modules(listed.TABLES)
    assert fingerprint(script, *every) != fingerprint(script, *every[1:])


def test_what_the_rule_declares_is_what_a_run_reads() -> None:
    rule = (WORKFLOW / "rules/report.smk").read_text(encoding="utf-8")
    declared = re.findall(r'^    "(\w+)": ', rule[rule.index("MEASURED = {") : rule.index("}\n")], flags=re.MULTILINE)
    assert len(declared) > 10
    assert not [name for name in declared if name != "policies" and not hasattr(Run, name)]
    assert 'folder / "log.csv"' in Path(Run.__init__.__code__.co_filename).read_text(encoding="utf-8")  # of policies


def test_what_a_run_does_not_declare_is_empty() -> None:
    run = Run({}, {"arms": {}})
    for frame in (run.contrasts, run.matched_safety, run.ablations, run.drift, run.kept_tokens, run.log):
        assert frame.empty
    assert not run.labellers
    assert not run.labelled_pools
    assert not run.layer_accuracy
    assert not run.sweeps
    assert run.published is None
