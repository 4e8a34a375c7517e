"""Jobs: nothing half-written under a final name, one clear message, manifests that follow the content."""

import errno
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from trulysafe.errors import UserError
from trulysafe.fingerprint import closure, fingerprint
from trulysafe.schema import read_table, write_table
from trulysafe.state_store import load_states, save_states
from trulysafe.workflow import job, manifest_path, provenance_id, read_notes


class Named(list):
    """Snakemake's lists of files, which have names."""

    def __init__(self, **items):
        super().__init__(items.values())
        self.__dict__.update(items)
        self._named = items

    def items(self):
        return self._named.items()


def snakemake(**changes):
    parts = {
        "rule": "demo", "input": Named(), "output": Named(table="results/s/data/t.txt", folder="results/s/model"),
        "params": Named(code="abc"), "wildcards": Named(), "threads": 1, "log": ["results/s/logs/demo.log"],
    }  # fmt: skip
    return SimpleNamespace(**(parts | changes))


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    handler = signal.getsignal(signal.SIGTERM)
    yield tmp_path
    signal.signal(signal.SIGTERM, handler)


def write_both(run):
    run.output.table.write_text("done", encoding="utf-8")
    run.output.folder.mkdir()
    (run.output.folder / "x").write_text("y", encoding="utf-8")


def files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def test_outputs_appear_together_at_the_end(folder):
    with job(snakemake()) as run:
        write_both(run)
        run.note(rows=3)
        assert not Path("results/s/data/t.txt").exists()
    assert {"results/s/data/t.txt", "results/s/model/x"} <= files(folder)
    assert read_notes("results/s/data/t.txt") == {"rows": 3}
    assert not [name for name in files(folder) if ".tmp-" in name]


def test_a_failure_leaves_nothing_and_says_why(folder, capsys):
    def fail() -> None:
        with job(snakemake()) as run:
            write_both(run)
            raise UserError("row 3: prompt is empty")

    with pytest.raises(SystemExit) as stopped:
        fail()
    assert stopped.value.code == 1
    assert files(folder) == {"results/s/logs/demo.log"}
    assert Path("results/s/logs/demo.log").read_text(encoding="utf-8").strip() == "row 3: prompt is empty"
    assert "Traceback" not in capsys.readouterr().err


def write_to_a_full_disk() -> None:
    with Path("/dev/full").open("wb", buffering=0) as file:
        file.write(b"x")


def tell_as_safetensors_does() -> None:
    raise SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")


@pytest.mark.parametrize("fill", [write_to_a_full_disk, tell_as_safetensors_does])
def test_a_full_disk_is_called_so_whatever_library_met_it(folder, fill):
    def fail() -> None:
        with job(snakemake()) as run:
            write_both(run)
            fill()

    with pytest.raises(SystemExit):
        fail()
    log = Path("results/s/logs/demo.log").read_text(encoding="utf-8")
    assert "The disk is full" in log
    assert "results/s/model" in log
    assert files(folder) == {"results/s/logs/demo.log"}


def test_a_disk_too_full_for_a_log_or_a_folder_is_called_so(folder, capsys, monkeypatch):
    def full(self, **_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self))

    monkeypatch.setattr(Path, "mkdir", full)
    with pytest.raises(SystemExit), job(snakemake()):
        pass
    assert "The disk is full" in capsys.readouterr().err


def make_table(path: str) -> None:
    with job(snakemake(rule="makes", output=Named(table=path))) as run:
        write_table(pd.DataFrame({"prompt_id": ["a"], "prompt": ["b"]}), run.output.table, "prompts")


def make_model(path: str) -> None:
    with job(snakemake(rule="makes", output=Named(model=path))) as run:
        run.output.model.mkdir()
        save_file({"x": torch.zeros(9)}, run.output.model / "model.safetensors")


def fail_on(path: str, damaged: str, read) -> str:
    """Cut a file short, read it in a job, and return what the job's log says."""
    Path(damaged).write_bytes(Path(damaged).read_bytes()[:-20])
    with pytest.raises(SystemExit), job(snakemake(input=Named(path=path))):
        read(damaged)
    return Path("results/s/logs/demo.log").read_text(encoding="utf-8")


def test_an_input_that_was_cut_short_is_named_with_what_to_do(folder):
    table, model = "results/s/data/table.parquet", "results/s/models/small"
    make_table(table)
    make_model(model)
    log = fail_on(table, table, pd.read_parquet)
    assert f"{table} is cut short or damaged" in log
    assert f"Delete {table} and run the same command again: rule makes makes it anew." in log
    log = fail_on(table, table, lambda path: read_table(path, "prompts"))
    assert "Delete it and rerun the rule" in log
    assert "cut short" not in log  # said once
    log = fail_on(model, f"{model}/model.safetensors", load_file)
    assert f"{model}/model.safetensors is cut short or damaged" in log
    assert f"Delete {model} and run the same command again: rule makes makes it anew." in log


def test_an_input_from_outside_is_to_be_copied_again(folder):
    Path("raw.json").write_text(json.dumps({"key": "a long enough text"}), encoding="utf-8")
    log = fail_on("raw.json", "raw.json", lambda path: json.loads(Path(path).read_text(encoding="utf-8")))
    assert "raw.json is cut short or damaged" in log
    assert "fetch or copy it again" in log


def test_a_failure_of_another_kind_blames_no_input(folder):
    make_table("results/s/data/table.parquet")
    with pytest.raises(SystemExit), job(snakemake(input=Named(path="results/s/data/table.parquet"))):
        raise ValueError("something else")
    assert "damaged" not in Path("results/s/logs/demo.log").read_text(encoding="utf-8")


def test_scratch_outlives_a_failure_and_goes_with_success(folder):
    def work(fail: bool) -> None:
        with job(snakemake()) as run:
            place = run.scratch(run.final[1])
            assert place == Path("results/s/checkpoints/model")
            (place / "checkpoint").write_text("half way", encoding="utf-8")
            write_both(run)
            if fail:
                raise UserError("told to stop")

    with pytest.raises(SystemExit):
        work(fail=True)
    assert files(folder) == {"results/s/logs/demo.log", "results/s/checkpoints/model/checkpoint"}
    work(fail=False)
    assert not Path("results/s/checkpoints/model").exists()
    assert Path("results/s/model/x").exists()


def test_a_job_started_twice_is_refused_and_spoils_nothing(folder, capsys):
    with job(snakemake()) as first:
        first.scratch(first.final[1])
        with pytest.raises(SystemExit), job(snakemake()) as second:
            second.scratch(second.final[1])
        write_both(first)
    assert f"process {os.getpid()}" in capsys.readouterr().err
    assert Path("results/s/model/x").exists()


def test_an_output_that_was_not_written_is_an_error(folder):
    with pytest.raises(SystemExit), job(snakemake()) as run:
        run.output.table.write_text("half", encoding="utf-8")
    assert not Path("results/s/data/t.txt").exists()


SLOW = """
import sys, time
sys.path.insert(0, {root!r})
from tests.unit.test_workflow import snakemake, write_both
from trulysafe.workflow import job
with job(snakemake()) as run:
    write_both(run)
    print("written", flush=True)
    time.sleep(60)
"""


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_a_killed_job_leaves_nothing_under_a_final_name_and_the_next_cleans_up(folder, how):
    root = str(Path(__file__).resolve().parents[2])
    process = subprocess.Popen([sys.executable, "-c", SLOW.format(root=root)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline().strip() == "written"
    process.send_signal(how)
    process.wait(timeout=30)
    process.stdout.close()
    assert not Path("results/s/data/t.txt").exists()
    assert not Path("results/s/model").exists()
    left = list(folder.rglob(".tmp-*"))
    assert bool(left) == (how == signal.SIGKILL)
    with job(snakemake()) as run:
        write_both(run)
    assert not list(folder.rglob(".tmp-*"))


def test_a_stale_output_of_a_running_process_is_left_alone(folder):
    other = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(30)"])
    with job(snakemake()) as run:
        own = run.output.table.name
        foreign = run.output.table.with_name(own.replace(str(os.getpid()), str(other.pid)))
        foreign.write_text("theirs", encoding="utf-8")
        write_both(run)
    with job(snakemake()) as run:
        write_both(run)
    assert foreign.read_text(encoding="utf-8") == "theirs"
    other.kill()
    other.wait(timeout=10)


def test_provenance_follows_content_not_time(folder):
    Path("raw.txt").write_text("one", encoding="utf-8")
    first = provenance_id("demo", Named(code="abc"), ["raw.txt"])
    time.sleep(0.01)
    os.utime("raw.txt")
    assert provenance_id("demo", Named(code="abc"), ["raw.txt"]) == first
    assert provenance_id("demo", Named(code="abd"), ["raw.txt"]) != first
    assert provenance_id("demo", Named(code="abc"), ["raw.txt", "raw.txt"]) == first  # shards of one piece of work
    Path("raw.txt").write_text("two", encoding="utf-8")
    assert provenance_id("demo", Named(code="abc"), ["raw.txt"]) != first


def test_manifest_holds_inputs_and_versions_and_no_secret(folder, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    with job(snakemake()) as run:
        write_both(run)
    text = manifest_path(Path("results/s/model")).read_text(encoding="utf-8")
    assert {"provenance_id", "inputs", "params", "versions", "seconds"} <= set(json.loads(text))
    assert "hf_secret" not in text


def test_fingerprint_sees_code_and_not_documentation(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        '"""Doc."""\nfrom trulysafe.losses import dpo_margin\n\ndef f():\n    """Doc."""\n    return 1\n',
        encoding="utf-8",
    )
    first = fingerprint(script)
    other = tmp_path / "other.py"
    other.write_text(
        '"""Other."""\nfrom trulysafe.losses import dpo_margin  # why\n\n\ndef f():\n    return 1\n', encoding="utf-8"
    )
    assert fingerprint(other) == first
    changed = tmp_path / "changed.py"  # a file is parsed once a process
    changed.write_text(other.read_text(encoding="utf-8").replace("return 1", "return 2"), encoding="utf-8")
    assert fingerprint(changed) != first


def test_closure_is_what_is_imported_and_no_more():
    names = {path.stem for path in closure("trulysafe.sampling")}
    assert {"sampling", "tokens", "ids"} <= names
    assert not {"preference", "masks", "fit", "workflow", "errors"} & names


def test_states_round_trip_and_refuse_what_is_not_finite(tmp_path):
    index = pd.DataFrame({"response_id": ["a", "b"]})
    save_states(tmp_path / "s", {"states": torch.ones(2, 3, 4)}, index)
    arrays, read = load_states(tmp_path / "s")
    assert arrays["states"].shape == (2, 3, 4)
    assert read.equals(index)
    with pytest.raises(UserError, match="row 1 holds NaN"):
        save_states(tmp_path / "t", {"states": torch.tensor([[[1.0]], [[float("nan")]]])}, index)
    (tmp_path / "s" / "states.safetensors").write_bytes(b"half")
    with pytest.raises(UserError, match="rerun the rule"):
        load_states(tmp_path / "s")


def test_tables_name_the_missing_column_and_the_empty_row(tmp_path):
    good = {"prompt_id": ["1", "2"], "prompt": ["a", "b"]}
    write_table(pd.DataFrame(good), tmp_path / "t.parquet", "prompts")
    assert read_table(tmp_path / "t.parquet", "prompts")["meta"].tolist() == ["{}", "{}"]
    with pytest.raises(UserError, match=r"column 'prompt' is missing"):
        write_table(pd.DataFrame({"prompt_id": ["1"]}), tmp_path / "u.parquet", "prompts")
    with pytest.raises(UserError, match=r"row 1, column 'prompt' is empty"):
        write_table(pd.DataFrame({**good, "prompt": ["a", None]}), tmp_path / "u.parquet", "prompts")
    (tmp_path / "t.parquet").write_bytes(b"half")
    with pytest.raises(UserError, match="rerun the rule"):
        read_table(tmp_path / "t.parquet", "prompts")
