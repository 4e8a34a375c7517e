"""How far judges agree with people, and with each other on the same responses (rule agreement_with_people)."""

import pandas as pd

from trulysafe.common.schema import read_table
from trulysafe.evaluate.people import between_rows, people_rows
from trulysafe.workflow.job import job

with job(snakemake) as run:
    judged = pd.concat([read_table(path, "judged_labels") for path in run.input.verdicts], ignore_index=True)
    people_rows(judged).to_csv(run.output.people, index=False)
    between_rows(judged).to_csv(run.output.between, index=False)
