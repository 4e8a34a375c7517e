"""Train the policies of one job (rule train)."""

from pathlib import Path

import pandas as pd
from tqdm import tqdm

from trulysafe.common.csv_files import read_csv
from trulysafe.common.schema import read_table
from trulysafe.config.load import load
from trulysafe.methods.confidence import mean_logged_confidence
from trulysafe.methods.method import Method
from trulysafe.methods.parts import IMPORTANCE
from trulysafe.plan.plan import Plan
from trulysafe.reward.states import SCALES
from trulysafe.reward.token_scale import UNSCALED, load_scale
from trulysafe.train.jobs import TrainingRun, copy_policies, train_run
from trulysafe.train.run_data import pair_rows, run_data
from trulysafe.workflow.job import job
from trulysafe.workflow.model_card import write_cards

with job(snakemake) as run:
    method = Method(**run.params.method)
    if run.params.gamma_of:
        read = pd.concat([read_csv(Path(folder) / "log.csv") for folder in run.input.gamma_of], ignore_index=True)
        gamma = mean_logged_confidence(read, run.params.gamma_of)
        run.note(gamma=gamma)
        method = Method(**run.params.method | {"confidence": {"kind": "fixed", "value": gamma}})
    plan = Plan(load(snakemake.config))
    scratch = run.scratch(run.final[0])
    scale = values = None
    if method.mask.reads_token_rewards:
        source = run.input.get("token_rewards") or run.input.reward
        weighs = method.mask.rule == IMPORTANCE
        scale = UNSCALED if weighs else load_scale(Path(source) / SCALES, method.mask.form)
        values = pair_rows(run.input.token_values) if run.input.get("token_rewards") else None
    texts = pair_rows(run.input.texts) if run.input.get("texts") else None
    logs = []
    for item in tqdm(run.params.runs, desc="Training", unit="policy"):
        place = f"{item['experiment']}/seed{item['seed']}"
        policy = TrainingRun(
            folder=str(scratch / place),
            provenance=run.provenance_id,
            model=item["model"],
            method=method.model_dump(),
            training=item["training"],
            seed=item["seed"],
            launch=plan.train.launch(item["experiment"]),
            reward=str(run.input.reward) if method.needs_reward else None,
            reward_identity=run.params.identity,
            cost=str(run.input.cost) if method.ppo.lagrangian else None,
            judge=run.params.judge,
            **run.params.beside,
        )
        log = train_run(policy, lambda item=item: run_data(item, method, scale, values, texts))
        copy_policies(policy, run.output.policies / place)
        mix, about = read_table(item["mix"], "mix"), plan.train.card(item["experiment"])
        where = {"job": run.wildcards.job, "provenance": run.provenance_id}
        write_cards(run.output.policies / place, item, method, mix, about, **where)
        logs.append(log.assign(experiment=item["experiment"], seed=item["seed"]))
    pd.concat(logs, ignore_index=True).to_csv(run.output.policies / "log.csv", index=False)
