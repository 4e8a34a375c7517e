"""Principal components and divergence of the two classes in each layer (rule analyse_layers)."""

from trulysafe.common.state_store import load_states
from trulysafe.reward.layers import layer_analysis
from trulysafe.workflow.job import job

with job(snakemake) as run:
    arrays, _ = load_states(run.input.states)
    analysis = layer_analysis(arrays["safe"], arrays["unsafe"])
    analysis["pca"].to_csv(run.output.components, index=False)
    analysis["kl"].to_csv(run.output.divergence, index=False)
