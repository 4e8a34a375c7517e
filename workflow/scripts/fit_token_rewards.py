"""Fit a source of token rewards and state its constants (rule fit_token_rewards)."""

import torch

from trulysafe.common.schema import UNLABELLED
from trulysafe.models.load import load_token_classifier, load_tokenizer
from trulysafe.models.tokens import encode
from trulysafe.pairs.build import annotated_pairs, drop_table
from trulysafe.reward.stage import held_out_rows
from trulysafe.token_rewards.classifier import fit_token_rm
from trulysafe.token_rewards.sources import MODEL, implicit_reader, token_rm_reader, write_source
from trulysafe.workflow.job import job

with job(snakemake) as run:
    options, spec, batch_size = run.params.options, run.params.model, run.params.batch_size
    pairs, drops = annotated_pairs(run.input.datasets, run.input.split, "reward", options["rows"])
    split = held_out_rows(pairs, options["test_share"], f"token_rewards.{run.wildcards.source}")
    tokenizer = load_tokenizer(spec)
    safe, unsafe = (
        [encode(tokenizer, prompt, text) for prompt, text in zip(pairs["prompt"], pairs[side], strict=True)]
        for side in ("chosen", "rejected")
    )
    run.output.source.mkdir()
    if options["kind"] == "token_rm":
        torch.manual_seed(options["seed"])
        sides = ([side[row] for row in split[0]] for side in (safe, unsafe))
        folder = run.output.source / MODEL
        loss = fit_token_rm(
            load_token_classifier(spec), tokenizer, *sides, folder, seed=options["seed"], **options["fit"]
        )
        run.note(loss=loss)
        read = token_rm_reader(folder, tokenizer.pad_token_id, batch_size)
    else:
        read = implicit_reader(spec, run.params.policy, tokenizer.pad_token_id, batch_size)
    metrics = write_source(read, safe, unsafe, pairs["risk"].replace("", UNLABELLED).tolist(), split, run.output.source)
    run.note(pairs=len(pairs), dropped=drop_table(drops), held_out=metrics["all"])
