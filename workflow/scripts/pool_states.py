"""Layer states at the endpoints of one shard of responses (rule pool_states)."""

from trulysafe.models import load_model, load_tokenizer
from trulysafe.representations import extract
from trulysafe.sampling import blocks
from trulysafe.schema import read_table
from trulysafe.state_store import save_states
from trulysafe.tokens import token_count
from trulysafe.workflow import job

with job(snakemake) as run:
    samples = read_table(run.input.samples, "samples")
    usable = samples[samples["finished"] & (samples["response"] != "")]
    prompts = usable.drop_duplicates("prompt_id")
    label = {
        prompt: number
        for number, block in enumerate(blocks(prompts, run.params.block))
        for prompt in block["prompt_id"]
    }
    tokenizer = load_tokenizer(run.params.model)
    model = load_model(run.params.model)
    states = extract(
        model,
        tokenizer,
        list(zip(usable["prompt"], usable["response"], strict=True)),
        pooling=run.wildcards.pooling,
        batch_size=run.params.batch_size,
        blocks=usable["prompt_id"].map(label).tolist(),
    )
    count = token_count(tokenizer)
    run.note(
        responses=len(usable),
        tokens=sum(count(*conversation) for conversation in zip(usable["prompt"], usable["response"], strict=True)),
        unfinished=int((~samples["finished"]).sum()),
        empty=int((samples["response"] == "").sum()),
    )
    save_states(run.output.states, {"states": states}, usable[["response_id"]])
