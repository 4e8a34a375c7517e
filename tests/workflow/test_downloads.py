"""Data sets by the addresses of plain files: what lies in the folder `data` is used first, the rest is fetched once."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml

from tests.unit.file_server import CONTENT, SHA256, file_server
from tests.workflow.project import Project
from trulysafe.common.errors import UserError
from trulysafe.config.load import load
from trulysafe.data.sources import READERS, SourceOptions, public_files
from trulysafe.plan.checks import check_inputs
from trulysafe.plan.plan import Plan

SMALL = Path(__file__).parent / "small.yaml"
ROOT = SMALL.parents[2]
TASKS = dict.fromkeys(("arc_easy", "arc_challenge", "hellaswag", "winogrande", "commonsense_qa", "gsm8k", "mmlu"), 1)
TASKS |= {"c3": 2, "race": 2, "bbh": 27}
PLACE = f"results/small/downloads/{SHA256[:8]}/a.jsonl"
TABLE = "results/small/data/web.parquet"


def configured(data: Path, url: str = "http://127.0.0.1:9/good/a.jsonl", **options: Any) -> dict[str, Any]:
    raw = yaml.safe_load(SMALL.read_text(encoding="utf-8"))
    raw["data"] = str(data)
    options = {"path": "web/a.jsonl", "urls": {url: SHA256}, **options}
    raw["datasets"]["web"] = {"kind": "jsonl", "role": "evaluation", "options": options}
    raw["benchmarks"]["web"] = {"datasets": ["web"], "axis": "safety", "judges": ["refusal_phrases"]}
    return raw


def test_what_lies_in_the_folder_is_used_first(tmp_path: Path) -> None:
    plan = Plan(load(configured(tmp_path)))
    assert plan.prefetch.dataset("web") == [PLACE]
    assert PLACE in plan.prefetch.everything
    assert plan.data.options("web")["path"] == (PLACE,)
    (tmp_path / "web").mkdir()
    (tmp_path / "web" / "a.jsonl").write_text('{"prompt": "of my own"}', encoding="utf-8")
    assert plan.prefetch.dataset("web") == []
    assert PLACE not in plan.prefetch.everything
    assert (plan.data.options("web")["path"], plan.data.options("web")["folder"]) == (("web/a.jsonl",), str(tmp_path))
    check_inputs(load(configured(tmp_path)))


def test_who_names_a_file_gets_no_other(tmp_path: Path) -> None:
    raw = configured(tmp_path)
    raw["datasets"]["web"] = {"kind": "alpaca", "role": "corpus", "options": {"path": "mine.jsonl"}}
    assert Plan(load(raw)).prefetch.dataset("web") == []
    with pytest.raises(UserError, match=r"mine\.jsonl: file not found"):
        check_inputs(load(raw))
    raw["datasets"]["web"]["options"] = {"urls": {"http://127.0.0.1:9/b.json": SHA256}}
    assert load(raw).datasets["web"].options.path == ()  # type: ignore[attr-defined]
    raw["datasets"]["web"]["options"] = {}
    (place,) = Plan(load(raw)).prefetch.dataset("web")
    assert place.endswith("/alpaca_en_demo.json")


@pytest.mark.parametrize("urls", [{"http://127.0.0.1/a": "0b"}, {"ftp://127.0.0.1/a": SHA256}, "http://127.0.0.1/a"])
def test_an_address_without_a_checksum_is_refused(tmp_path: Path, urls: Any) -> None:
    with pytest.raises(UserError, match=r"datasets\.web\.options\.urls"):
        load(configured(tmp_path, urls=urls))


def test_a_public_data_set_goes_by_its_name(tmp_path: Path) -> None:
    (place,) = Plan(load(configured(tmp_path, urls="hellaswag"))).prefetch.dataset("web")
    assert place.endswith("/validation-00000-of-00001.parquet")
    with pytest.raises(UserError, match=r"datasets\.web\.options\.urls: 'helaswag' .* Did you mean 'hellaswag'\?"):
        load(configured(tmp_path, urls="helaswag"))


def test_every_dataset_of_every_configuration_can_be_fetched(tmp_path: Path) -> None:
    for name in ("real_small", "equilibrate", "rbrm", "smollm2", "smollm2_calibration", "general"):
        raw = yaml.safe_load((ROOT / "config" / f"{name}.yaml").read_text(encoding="utf-8"))
        plan = Plan(load({**raw, "data": str(tmp_path)}))
        assert [name for name in raw["datasets"] if not plan.prefetch.dataset(name)] == []


def test_public_files_are_pinned_to_commits() -> None:
    every = [READERS.module(kind).Options for kind in READERS.names if kind != "documents"]  # these have no own place
    found = {url: sha for kind in every if issubclass(kind, SourceOptions) for url, sha in kind().urls.items()}
    assert len(found) == 31
    assert all(re.fullmatch(r"[0-9a-f]{64}", checksum) for url, checksum in found.items() if "wildchat" not in url)
    tasks = {name: public_files(name) for name in TASKS}
    assert {name: len(files) for name, files in tasks.items()} == TASKS
    assert all(
        re.search(r"/[0-9a-f]{40}/", url) for url in [*found, *(url for files in tasks.values() for url in files)]
    )
    assert public_files("alpaca").items() <= found.items()
    assert public_files("no such data set") == {}


@pytest.mark.slow
def test_a_file_is_fetched_once_and_jobs_need_no_network(tmp_path: Path) -> None:
    project, configuration = Project(tmp_path / "project"), tmp_path / "web.yaml"
    with file_server() as server:
        raw = configured(tmp_path, server.url("moved/a.jsonl"))
        configuration.write_text(yaml.safe_dump(raw), encoding="utf-8")
        project.snakemake("--", "prefetch", configuration=configuration)
        assert (project.folder / PLACE).read_bytes() == CONTENT
        asked = list(server.asked)
        assert "Nothing to be done" in project.snakemake("--", "prefetch", configuration=configuration)
        assert server.asked == asked
    project.snakemake("--", TABLE, configuration=configuration)
    assert sorted(pd.read_parquet(project.folder / TABLE)["prompt"]) == ["w1 w2", "w3 w5 w2"]


@pytest.mark.slow
def test_without_network_one_error_lists_what_is_missing_before_any_job(tmp_path: Path) -> None:
    project, configuration = Project(tmp_path / "project"), tmp_path / "web.yaml"
    raw = configured(tmp_path)
    raw["datasets"]["more"] = {"kind": "csv", "role": "evaluation", "options": {
        "urls": {"http://127.0.0.1:9/more.csv": "1" * 64}}}  # fmt: skip
    configuration.write_text(yaml.safe_dump(raw), encoding="utf-8")
    for _ in range(2):  # the first leaves no lock
        said = project.snakemake("--", "results/small/data/split.parquet", configuration=configuration, fails=True)
        assert "reaches no http://127.0.0.1:9, and these are not here yet:" in said
        assert "- datasets.more: http://127.0.0.1:9/more.csv\n- datasets.web: http://127.0.0.1:9/good/a.jsonl" in said
        assert "Run `make prefetch CONFIG=../web.yaml` on a machine with network" in said
        assert "Traceback" not in said
        assert not list((project.folder / "results").rglob("*.parquet"))
    assert "prefetch_file" in project.planned("--", "results/small/data/split.parquet", configuration=configuration)


@pytest.mark.slow
def test_another_file_than_was_meant_never_gets_its_name(tmp_path: Path) -> None:
    project, configuration = Project(tmp_path / "project"), tmp_path / "web.yaml"
    with file_server() as server:
        raw = configured(tmp_path, urls={server.url("good/a.jsonl"): "1" * 64})
        configuration.write_text(yaml.safe_dump(raw), encoding="utf-8")
        said = project.snakemake("--nolock", TABLE, configuration=configuration, fails=True)
    assert f"but got {SHA256}" in said
    assert not list((project.folder / "results/small").glob("downloads/*/*"))
