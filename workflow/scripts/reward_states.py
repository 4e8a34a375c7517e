"""Layer states of annotated pairs (rule reward_states)."""

from trulysafe.common.state_store import save_states
from trulysafe.models.load import load_model, load_tokenizer
from trulysafe.models.representations import extract, extract_tokens
from trulysafe.pairs.build import annotated_pairs, drop_table
from trulysafe.workflow.job import job

with job(snakemake) as run:
    options = run.params.options
    pairs, drops = annotated_pairs(run.input.datasets, run.input.split, "reward", options["rows"])
    run.note(pairs=len(pairs), dropped=drop_table(drops))
    tokenizer = load_tokenizer(run.params.model)
    model = load_model(run.params.model)
    arrays = {}
    for side, column in (("safe", "chosen"), ("unsafe", "rejected")):
        conversations = list(zip(pairs["prompt"], pairs[column], strict=True))
        arrays[side] = extract(model, tokenizer, conversations, options["pooling"], run.params.batch_size)
        if options["token_positions"]:
            arrays[f"{side}_tokens"] = extract_tokens(
                model, tokenizer, conversations, options["token_positions"], options["seed"], run.params.batch_size
            )
    save_states(run.output.states, arrays, pairs[["pair_id", "prompt_id", "group_id", "prompt", "risk", "family"]])
