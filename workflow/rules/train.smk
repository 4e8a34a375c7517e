"""The frozen reference's part, once per pair table; then the policies, several runs of one method per job."""


rule reference:
    """Token ids of a pair table and each token's log-probability under what training starts from."""
    input:
        pairs=results("pairs/{pairs}.parquet"),
        model=lambda wildcards: PLAN.models.files(wildcards.start),
    output:
        table=results("reference/{start}/{pairs}.parquet"),
    log:
        logs("reference/{start}/{pairs}"),
    benchmark:
        timings("reference/{start}/{pairs}")
    conda:
        "../../envs/trulysafe.yaml"
    resources:
        **needs("forward", lambda wildcards: wildcards.start),
    params:
        model=lambda wildcards: PLAN.models.spec(wildcards.start),
        batch_size=CONFIG.batching.forward_batch,
        code=code("reference"),
    script:
        "../scripts/reference.py"


rule read_rewards:
    """Endpoint rewards and token rewards of a pair table, from the frozen model's states."""
    input:
        pairs=results("pairs/{pairs}.parquet"),
        reward=results("rewards/{reward}/model"),
        model=lambda wildcards: PLAN.models.files(wildcards.start),
    output:
        table=results("reference/{start}/{reward}/{pairs}.parquet"),
    log:
        logs("read_rewards/{start}/{reward}/{pairs}"),
    benchmark:
        timings("read_rewards/{start}/{reward}/{pairs}")
    conda:
        "../../envs/trulysafe.yaml"
    resources:
        **needs("forward", lambda wildcards: wildcards.start),
    params:
        model=lambda wildcards: PLAN.models.spec(wildcards.start),
        identity=lambda wildcards: PLAN.reward.identity(wildcards.reward),
        batch_size=CONFIG.batching.forward_batch,
        code=code("read_rewards"),
    script:
        "../scripts/read_rewards.py"


rule train:
    """Train the policies of one job and keep each at its snapshots."""
    input:
        unpack(lambda wildcards: PLAN.train.inputs(wildcards.job)),
    output:
        policies=directory(results("policies/{job}")),
    log:
        logs("train/{job}"),
    benchmark:
        timings("train/{job}")
    wildcard_constraints:
        job="|".join(PLAN.policies.trained) or "-",
    priority: TRAINING
    conda:
        "../../envs/trulysafe.yaml"
    threads: lambda wildcards: PLAN.train.threads(wildcards.job)
    resources:
        **needs(
            "train",
            lambda wildcards: PLAN.policies.model(wildcards.job),
            processes_of=lambda wildcards: PLAN.train.processes(wildcards.job),
            nodes_of=lambda wildcards: PLAN.train.nodes(wildcards.job),
            beside_of=lambda wildcards: PLAN.train.offloaded_gb(wildcards.job),
        ),
    params:
        method=lambda wildcards: PLAN.train.method(wildcards.job),
        gamma_of=lambda wildcards: PLAN.train.table(wildcards.job).gamma_of,
        runs=lambda wildcards: PLAN.train.runs(wildcards.job),
        identity=lambda wildcards: PLAN.reward.identity(PLAN.train.table(wildcards.job).reward),
        judge=lambda wildcards: PLAN.train.judge(wildcards.job),
        beside=lambda wildcards: PLAN.train.beside(wildcards.job),
        code=lambda wildcards: code("train", *PLAN.evaluate.judge_modules(PLAN.train.judges(wildcards.job))),
    script:
        "../scripts/train.py"
