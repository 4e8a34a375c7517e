"""The frozen reference's part, once per pair table; then the policies, several runs of one method per job."""


rule reference:
    """Token ids of a pair table and every response token's log-probability under the model or policy that training starts from."""
    input:
        pairs=results("pairs/{pairs}.parquet"),
        model=lambda wildcards: PLAN.model_files(wildcards.start),
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
        model=lambda wildcards: PLAN.model_spec(wildcards.start),
        batch_size=CONFIG.batching.forward_batch,
        code=code("reference"),
    script:
        "../scripts/reference.py"


rule read_rewards:
    """Endpoint rewards and token rewards of a pair table, from the frozen model's states."""
    input:
        pairs=results("pairs/{pairs}.parquet"),
        reward=results("rewards/{reward}/model"),
        model=lambda wildcards: PLAN.model_files(wildcards.start),
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
        model=lambda wildcards: PLAN.model_spec(wildcards.start),
        identity=lambda wildcards: PLAN.reward_identity(wildcards.reward),
        batch_size=CONFIG.batching.forward_batch,
        code=code("read_rewards"),
    script:
        "../scripts/read_rewards.py"


rule train:
    """Train the policies of one batch and keep each at its snapshots."""
    input:
        unpack(lambda wildcards: PLAN.training_inputs(wildcards.batch)),
    output:
        policies=directory(results("policies/{batch}")),
    log:
        logs("train/{batch}"),
    benchmark:
        timings("train/{batch}")
    wildcard_constraints:
        batch="|".join(PLAN.trained) or "-",
    conda:
        "../../envs/trulysafe.yaml"
    resources:
        **needs(
            "train",
            lambda wildcards: PLAN.batch_model(wildcards.batch),
            processes_of=lambda wildcards: PLAN.batch_processes(wildcards.batch),
            nodes_of=lambda wildcards: PLAN.batch_nodes(wildcards.batch),
        ),
    params:
        method=lambda wildcards: PLAN.method_options(wildcards.batch),
        gamma_of=lambda wildcards: CONFIG.methods[PLAN.batch_method(wildcards.batch)].gamma_of,
        runs=lambda wildcards: PLAN.training_runs(wildcards.batch),
        identity=lambda wildcards: PLAN.reward_identity(CONFIG.methods[PLAN.batch_method(wildcards.batch)].reward),
        judge=lambda wildcards: PLAN.online_judge(wildcards.batch),
        code=code("train"),
    script:
        "../scripts/train.py"
