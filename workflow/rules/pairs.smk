"""Preference pairs (RBRM, step 2) and the training sets drawn from them (FDC, second half)."""


rule rerank:
    """Rank a pool's samples by the hybrid reward and pair them up."""
    input:
        unpack(lambda wildcards: PLAN.pairs.rerank_inputs(wildcards.pairs)),
    output:
        pairs=results("pairs/{pairs}.parquet"),
    log:
        logs("pairs/{pairs}"),
    benchmark:
        timings("rerank/{pairs}")
    wildcard_constraints:
        pairs="|".join(PLAN.pairs.of_source("rerank")) or "-",
    priority: AHEAD
    conda:
        "../../envs/trulysafe.yaml"
    params:
        model=lambda wildcards: PLAN.models.spec(CONFIG.pairs[wildcards.pairs].model),
        identity=lambda wildcards: PLAN.reward.identity(CONFIG.pairs[wildcards.pairs].reward),
        options=lambda wildcards: options(
            CONFIG.pairs[wildcards.pairs], "model", "datasets", "labeller", "pool", "reward"
        ),
        code=code("rerank"),
    script:
        "../scripts/rerank.py"


rule annotated_pairs:
    """Pairs as a dataset gives them, without the unusable ones."""
    input:
        datasets=lambda wildcards: PLAN.data.tables(CONFIG.pairs[wildcards.pairs].datasets),
        split=ancient(results("data/split.parquet")),
        labeller=lambda wildcards: PLAN.label.files(CONFIG.pairs[wildcards.pairs].labeller),
        model=lambda wildcards: PLAN.models.files(CONFIG.pairs[wildcards.pairs].model),
    output:
        pairs=results("pairs/{pairs}.parquet"),
    log:
        logs("pairs/{pairs}"),
    benchmark:
        timings("annotated_pairs/{pairs}")
    wildcard_constraints:
        pairs="|".join(PLAN.pairs.of_source("annotated")) or "-",
    conda:
        "../../envs/trulysafe.yaml"
    resources:
        **labelling(lambda wildcards: CONFIG.pairs[wildcards.pairs].labeller),
    params:
        model=lambda wildcards: PLAN.models.spec(CONFIG.pairs[wildcards.pairs].model),
        options=lambda wildcards: options(
            CONFIG.pairs[wildcards.pairs], "model", "datasets", "labeller", "pool", "reward"
        ),
        kind=lambda wildcards: PLAN.label.kind(CONFIG.pairs[wildcards.pairs].labeller),
        llm=lambda wildcards: PLAN.label.llm(CONFIG.pairs[wildcards.pairs].labeller),
        roles=lambda wildcards: PLAN.data.roles(CONFIG.pairs[wildcards.pairs].datasets),
        code=lambda wildcards: code("annotated_pairs", *PLAN.label.code(CONFIG.pairs[wildcards.pairs].labeller)),
    script:
        "../scripts/annotated_pairs.py"


rule mix:
    """Draw one training set per seed by quota or at random."""
    input:
        pairs=lambda wildcards: [results(f"pairs/{name}.parquet") for name in CONFIG.mixes[wildcards.mix].pairs],
        leakage=ancient(results("data/leakage.json")),  # a gate, not data: it must have been passed
    output:
        mix=results("mixes/{mix}.parquet"),
    log:
        logs("mix/{mix}"),
    benchmark:
        timings("mix/{mix}")
    priority: AHEAD
    conda:
        "../../envs/trulysafe.yaml"
    params:
        options=lambda wildcards: options(CONFIG.mixes[wildcards.mix]),
        draws=lambda wildcards: PLAN.pairs.draws(wildcards.mix),
        code=code("mix"),
    script:
        "../scripts/mix.py"
