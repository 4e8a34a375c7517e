"""Order and distribution of responses along training (RBRM's hypothesis), for the experiments that `drift` names."""


rule pool_likelihoods:
    """Likelihoods of pool responses, and new samples, of the followed policies of one training job."""
    input:
        unpack(lambda wildcards: PLAN.drift.inputs(wildcards.job)),
        split=ancient(results("data/split.parquet")),
    output:
        pool=results("drift/{job}/pool.parquet"),
        fresh=results("drift/{job}/fresh.parquet"),
    log:
        logs("pool_likelihoods/{job}"),
    benchmark:
        timings("pool_likelihoods/{job}")
    wildcard_constraints:
        job="|".join(PLAN.drift.followed) or "-",
    conda:
        "../../envs/trulysafe.yaml"
    resources:
        **needs("generate", lambda wildcards: PLAN.policies.model(wildcards.job)),
    params:
        policies=lambda wildcards: PLAN.drift.followed[wildcards.job],
        options=PLAN.drift.options,
        batch_size=CONFIG.batching.forward_batch,
        roles=lambda wildcards: PLAN.data.roles(PLAN.drift.datasets),
        code=code("pool_likelihoods", *PLAN.evaluate.judge_modules(PLAN.drift.judges)),
    script:
        "../scripts/pool_likelihoods.py"


rule order_and_distribution:
    """Rank correlations with the reference beside shifts of the distribution, per followed arm and snapshot."""
    input:
        pool=expand(results("drift/{job}/pool.parquet"), job=PLAN.drift.followed),
        fresh=expand(results("drift/{job}/fresh.parquet"), job=PLAN.drift.followed),
    output:
        table=results("metrics/order_and_distribution.csv"),
    log:
        logs("order_and_distribution"),
    benchmark:
        timings("order_and_distribution")
    conda:
        "../../envs/trulysafe.yaml"
    params:
        code=code("order_and_distribution"),
    script:
        "../scripts/order_and_distribution.py"
