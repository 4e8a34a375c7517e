"""Write the configuration as it was used (rule merged_config)."""

from pathlib import Path

import yaml

from trulysafe.workflow.job import job

with job(snakemake) as run:
    Path(run.output.config).write_text(yaml.safe_dump(run.params.config, sort_keys=False), encoding="utf-8")
