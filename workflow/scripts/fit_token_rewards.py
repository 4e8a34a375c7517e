"""Fit a source of token rewards and state its constants (rule fit_token_rewards)."""

from trulysafe.common.kinds import TOKEN_REWARDS
from trulysafe.common.schema import UNLABELLED
from trulysafe.models.load import load_tokenizer
from trulysafe.models.tokens import encode_pairs
from trulysafe.pairs.build import annotated_pairs, drop_table
from trulysafe.reward.states import held_out_rows
from trulysafe.token_rewards.artefact import write_source
from trulysafe.workflow.job import job

with job(snakemake) as run:
    options, spec, folder = run.params.options, run.params.model, run.output.source
    pairs, drops = annotated_pairs(run.input.datasets, run.input.split, "reward", options["rows"])
    split = held_out_rows(pairs, options["test_share"], f"token_rewards.{run.wildcards.source}")
    tokenizer = load_tokenizer(spec)
    safe, unsafe = encode_pairs(tokenizer, pairs["prompt"], pairs["chosen"], pairs["rejected"]).values()
    folder.mkdir()
    kind, of_kind = TOKEN_REWARDS.module(options["kind"]), TOKEN_REWARDS.options(options["kind"], options["options"])
    if hasattr(kind, "fit"):
        sides = ([side[row] for row in split[0]] for side in (safe, unsafe))
        run.note(loss=kind.fit(options, spec, tokenizer, *sides, folder))
    read = kind.reader(of_kind, folder, spec, run.params.policy, tokenizer.pad_token_id, run.params.batch_size)
    metrics = write_source(read, safe, unsafe, pairs["risk"].replace("", UNLABELLED).tolist(), split, folder)
    run.note(pairs=len(pairs), dropped=drop_table(drops), held_out=metrics["all"])
