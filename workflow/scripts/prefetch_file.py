"""Fetch a plain file by its address and verify it (rule prefetch_file)."""

from trulysafe.prefetch.download import download
from trulysafe.workflow.job import job

with job(snakemake) as run:
    download(run.params.url, run.params.checksum, run.output.file)
    run.note(url=run.params.url, bytes=run.output.file.stat().st_size)
