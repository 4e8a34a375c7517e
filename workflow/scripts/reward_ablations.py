"""What each choice of the reward is worth on held-out pairs (rule reward_ablations)."""

from trulysafe.common.state_store import load_states
from trulysafe.reward.ablations import held_out_rewards, reward_ablation_rows
from trulysafe.stats.limits import SIGNIFICANT
from trulysafe.workflow.job import job

with job(snakemake) as run:
    rewards = {}
    for folder, fits in zip(run.input.states, run.params.rewards.values(), strict=True):
        arrays, index = load_states(folder)
        for name, fit in fits.items():
            rewards[name] = held_out_rewards(arrays, index, fit["options"], run.params.fits, fit["baseline"])
    rows = reward_ablation_rows(rewards, run.params.ablations)
    run.note(differences=len(rows), significant=int((rows["p_holm"] < SIGNIFICANT).sum()))
    rows.to_csv(run.output.table, index=False)
