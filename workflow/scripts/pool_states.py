"""Layer states at the endpoints of one shard of responses (rule pool_states)."""

from trulysafe.common.schema import read_table
from trulysafe.common.state_store import save_states
from trulysafe.models.load import config_of, load_model, load_tokenizer
from trulysafe.models.representations import extract, no_states
from trulysafe.models.sampling import block_numbers, usable
from trulysafe.models.tokens import token_count
from trulysafe.workflow.job import job

with job(snakemake) as run:
    samples = read_table(run.input.samples, "samples")
    read = usable(samples)
    tokenizer = load_tokenizer(run.params.model)
    said = list(zip(read["prompt"], read["response"], strict=True))
    if said:
        model, batch = load_model(run.params.model), run.params.batch_size
        blocks = block_numbers(read, run.params.block)
        states = extract(model, tokenizer, said, run.wildcards.pooling, batch, blocks=blocks)
    else:
        states = no_states(config_of(run.params.model))
    count = token_count(tokenizer)
    run.note(
        responses=len(read),
        tokens=sum(count(*conversation) for conversation in said),
        unfinished=int((~samples["finished"]).sum()),
        empty=int((samples["response"] == "").sum()),
    )
    save_states(run.output.states, {"states": states}, read[["response_id"]])
