"""The floors of the package: declared once in pyproject.toml, no import runs upwards, and rooms make no circle."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from graphlib import TopologicalSorter
from pathlib import Path

import grimp
import pytest

from tests.workflow.project import ROOT

FLOORS = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"]["contracts"][0]
LAYERS = tuple(grimp.Layer(*floor.split(" | ")) for floor in FLOORS["layers"])


@pytest.fixture
def graph() -> grimp.ImportGraph:
    """Which module imports which, but for the imports that the contract still lets pass."""
    built = grimp.build_graph("trulysafe", cache_dir=None)
    for line in FLOORS.get("ignore_imports", []):
        importer, imported = line.split(" -> ")
        there = {importer, imported} <= built.modules
        if there and built.direct_import_exists(importer=importer, imported=imported):
            built.remove_import(importer=importer, imported=imported)
    return built


def upwards(graph: grimp.ImportGraph) -> list[str]:
    found = graph.find_illegal_dependencies_for_layers(LAYERS, containers={"trulysafe"})
    return sorted(f"{dependency.importer} -> {dependency.imported}" for dependency in found)


def circles(graph: grimp.ImportGraph) -> None:
    """Fails with ``graphlib.CycleError`` if rooms import each other in a circle."""
    rooms: dict[str, set[str]] = {}
    for module in graph.modules:
        for imported in graph.find_modules_directly_imported_by(module):
            ends = [f"{name}.".split(".")[1] for name in (module, imported)]
            if ends[0] != ends[1] and all(ends):
                rooms.setdefault(ends[0], set()).add(ends[1])
    TopologicalSorter(rooms).prepare()


def test_the_contracts_are_kept():
    command = [str(Path(sys.executable).with_name("lint-imports")), "--no-logo", "--no-cache"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_room_is_on_one_floor():
    rooms = [folder.name for folder in (ROOT / "src/trulysafe").iterdir() if (folder / "__init__.py").is_file()]
    assert sorted(rooms) == sorted(room for layer in LAYERS for room in layer.module_tails)


def test_no_import_runs_upwards_and_rooms_make_no_circle(graph):
    assert not upwards(graph)
    circles(graph)


def test_an_import_upwards_and_a_circle_are_found(graph):
    graph.add_import(importer="trulysafe.common.ids", imported="trulysafe.plan.paths")
    assert "trulysafe.common -> trulysafe.plan" in upwards(graph)
    with pytest.raises(ValueError, match="cycle"):
        circles(graph)


def test_imports_inside_functions_count(tmp_path, monkeypatch):
    (tmp_path / "house").mkdir()
    (tmp_path / "house/__init__.py").write_text("")
    (tmp_path / "house/low.py").write_text("def work():\n    from house import high\n\n    return high\n")
    (tmp_path / "house/high.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    house = grimp.build_graph("house", cache_dir=None)
    assert house.find_modules_directly_imported_by("house.low") == {"house.high"}
