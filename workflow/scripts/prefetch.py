"""Fetch a model or data set of the hub into the cache (rules prefetch_model and prefetch_dataset)."""

import json

from trulysafe.prefetch.hub import fetch, go_online
from trulysafe.workflow.job import job

with job(snakemake, tokens=True) as run:
    go_online()
    found = fetch(run.params.repo, run.params.revision, run.params.kind, run.params.files)
    run.note(files=len(found["files"]), bytes=sum(file["bytes"] for file in found["files"]))
    run.output.record.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
