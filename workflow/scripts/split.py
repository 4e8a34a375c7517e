"""Give every prompt one role (rule split)."""

from pathlib import Path

import pandas as pd

from trulysafe.common.schema import write_table
from trulysafe.data.split import assign, digest
from trulysafe.workflow.job import job

with job(snakemake) as run:
    columns = {name: ["prompt_id", "prompt", "meta"] for name in run.params.synthesised}  # meta notes descent
    tables = {
        name: pd.read_parquet(path, columns=columns.get(name, ["prompt_id", "prompt"]))
        for name, path in ((Path(path).stem, path) for path in run.input)
    }
    roles = run.params.roles
    split = assign(
        {name: (table, roles[name]) for name, table in tables.items()},
        shares=run.params.options["shares"],
        threshold=run.params.options["near_duplicate"],
        seed=run.params.seed,
    )
    run.note(prompts=split["role"].value_counts().to_dict(), groups=int(split["group_id"].nunique()))
    run.note(roles={name: digest(table, split) for name, table in tables.items()})
    write_table(split, run.output.table, "split")
