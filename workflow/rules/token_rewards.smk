"""Sources of token rewards beside the hybrid reward: a DPO policy's implicit reward, a token classifier."""


rule fit_token_rewards:
    """Fit a source on annotated pairs, state the constants that centre and scale it, measure it on held-out prompts."""
    input:
        unpack(lambda wildcards: PLAN.token_rewards.inputs(wildcards.source)),
        datasets=lambda wildcards: PLAN.data.tables(CONFIG.token_rewards[wildcards.source].datasets),
        split=ancient(results("data/split.parquet")),
    output:
        source=directory(results("token_rewards/{source}")),
    log:
        logs("fit_token_rewards/{source}"),
    benchmark:
        timings("fit_token_rewards/{source}")
    conda:
        "../../envs/trulysafe.yaml"
    resources:
        **needs("train", lambda wildcards: CONFIG.token_rewards[wildcards.source].model),
    params:
        model=lambda wildcards: PLAN.token_rewards.reference(wildcards.source),
        policy=lambda wildcards: PLAN.token_rewards.policy(wildcards.source),
        options=lambda wildcards: options(
            CONFIG.token_rewards[wildcards.source], "model", "datasets", "experiment", "against"
        ),
        batch_size=CONFIG.batching.forward_batch,
        roles=lambda wildcards: PLAN.data.roles(CONFIG.token_rewards[wildcards.source].datasets),
        code=lambda wildcards: code("fit_token_rewards", PLAN.token_rewards.code(wildcards.source)),
    script:
        "../scripts/fit_token_rewards.py"


rule read_token_rewards:
    """Token rewards of a pair table, read from a source after every response token."""
    input:
        unpack(lambda wildcards: PLAN.token_rewards.inputs(wildcards.source)),
        source=results("token_rewards/{source}"),
        pairs=results("pairs/{pairs}.parquet"),
    output:
        table=results("token_values/{source}/{pairs}.parquet"),
    log:
        logs("read_token_rewards/{source}/{pairs}"),
    benchmark:
        timings("read_token_rewards/{source}/{pairs}")
    conda:
        "../../envs/trulysafe.yaml"
    resources:
        **needs("forward", lambda wildcards: CONFIG.token_rewards[wildcards.source].model),
    params:
        model=lambda wildcards: PLAN.token_rewards.reference(wildcards.source),
        policy=lambda wildcards: PLAN.token_rewards.policy(wildcards.source),
        kind=lambda wildcards: CONFIG.token_rewards[wildcards.source].kind,
        options=lambda wildcards: options(CONFIG.token_rewards[wildcards.source].options),
        batch_size=CONFIG.batching.forward_batch,
        code=lambda wildcards: code("read_token_rewards", PLAN.token_rewards.code(wildcards.source)),
    script:
        "../scripts/read_token_rewards.py"
