"""Jobs of the project's own kind (trulysafe.workflow.job.job), one for each fault that meets a job at its work."""

import os
import time
from pathlib import Path

import pandas as pd

from trulysafe.common.schema import write_table
from trulysafe.workflow.job import job


def killed(run):
    """Half of its output is written when the test kills its process; the second attempt writes all of it."""
    first = not Path("killed.pid").exists()
    run.outputs[0].write_text("half ", encoding="utf-8")
    Path("killed.pid").write_text(str(os.getpid()), encoding="utf-8")
    if first:
        time.sleep(600)
    run.outputs[0].write_text("half and half\n", encoding="utf-8")


def hungry(run):
    """Holds 600 MB for some seconds."""
    held = bytearray(600 * 2**20)
    held[::4096] = b"x" * len(held[::4096])
    time.sleep(10)
    run.outputs[0].write_text(f"held {len(held)}\n", encoding="utf-8")


def filled(run):
    """Its output does not fit on the disk unless the test makes room."""
    run.outputs[0].write_bytes(bytes(2**20))


def table(run):
    """An input for the next."""
    write_table(pd.DataFrame({"prompt_id": ["1"], "prompt": ["one"]}), run.outputs[0], "prompts")


def reader(run):
    """Reads what the test cuts short."""
    run.outputs[0].write_text(f"{len(pd.read_parquet(run.input[0]))} rows\n", encoding="utf-8")


def twice(run):
    """Works where only one job may, until the test lets it end."""
    while not Path("let_it_end").exists():
        time.sleep(0.2)
    run.outputs[0].write_text("once\n", encoding="utf-8")


with job(snakemake) as running:
    if running.rule == "twice":
        running.scratch(running.final[0])
    with Path("starts.txt").open("a", encoding="utf-8") as starts:
        starts.write(f"{running.rule}\n")
    {work.__name__: work for work in (killed, hungry, filled, table, reader, twice)}[running.rule](running)
