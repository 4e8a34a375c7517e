"""Draw training sets by risk class (rule mix)."""

from pathlib import Path

from trulysafe.common.schema import read_table, write_table
from trulysafe.pairs.mix import draw, realised
from trulysafe.workflow.job import job

with job(snakemake) as run:
    options = run.params.options
    tables = {Path(path).stem: read_table(path, "pairs") for path in run.input.pairs}
    mix = draw(
        tables,
        rule=options["rule"],
        quotas=options["quotas"],
        total=options["total"],
        ratios=options["ratios"],
        others=options["others"],
        draws=run.params.draws,
        flip=options["flip"],
    )
    run.note(flipped=int(mix["flipped"].sum()))
    run.note(realised=realised(mix).to_dict("records"))
    write_table(mix, run.output.mix, "mix")
