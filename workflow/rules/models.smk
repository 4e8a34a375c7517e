"""Models trained from scratch or fine-tuned; n responses per prompt, and the states at their endpoints, in shards of whole blocks."""


rule train_base:
    """Build a tokenizer and train a tiny model from scratch on conversations."""
    input:
        corpus=lambda wildcards: PLAN.data.tables(CONFIG.models[wildcards.model].corpus),
        split=ancient(results("data/split.parquet")),
    output:
        model=directory(results("models/{model}")),
    log:
        logs("train_base/{model}"),
    benchmark:
        timings("train_base/{model}")
    wildcard_constraints:
        model="|".join(PLAN.models.trained) or "-",
    conda:
        "../../envs/trulysafe.yaml"
    threads: 2
    resources:
        **needs("train", lambda wildcards: wildcards.model),
    params:
        options=lambda wildcards: options(CONFIG.models[wildcards.model], "source", "corpus", "dtype", "size"),
        roles=lambda wildcards: PLAN.data.roles(CONFIG.models[wildcards.model].corpus),
        code=code("train_base"),
    script:
        "../scripts/train_base.py"


rule finetune:
    """Fine-tune a given model on conversations: the policy that all arms start from."""
    input:
        unpack(lambda wildcards: PLAN.models.start(wildcards.model)),
        corpus=lambda wildcards: PLAN.data.tables(CONFIG.models[wildcards.model].corpus),
        split=ancient(results("data/split.parquet")),
    output:
        model=directory(results("models/{model}")),
    log:
        logs("finetune/{model}"),
    benchmark:
        timings("finetune/{model}")
    wildcard_constraints:
        model="|".join(PLAN.models.finetuned) or "-",
    conda:
        "../../envs/trulysafe.yaml"
    threads: 2
    resources:
        **needs("train", lambda wildcards: wildcards.model),
    params:
        model=lambda wildcards: PLAN.models.spec(PLAN.models.finetuned[wildcards.model].model),
        options=lambda wildcards: options(PLAN.models.finetuned[wildcards.model], "source", "model", "corpus"),
        roles=lambda wildcards: PLAN.data.roles(CONFIG.models[wildcards.model].corpus),
        code=code("finetune"),
    script:
        "../scripts/finetune.py"


rule sample:
    """Sample n responses per prompt for one shard of a pool."""
    input:
        prompts=results("pools/{pool}/prompts.parquet"),
        model=lambda wildcards: PLAN.models.files(CONFIG.pools[wildcards.pool].model),
    output:
        samples=results("pools/{pool}/samples/{shard}-of-{shards}.parquet"),
    log:
        logs("sample/{pool}/{shard}-of-{shards}"),
    benchmark:
        timings("sample/{pool}/{shard}-of-{shards}")
    priority: AHEAD
    conda:
        "../../envs/trulysafe.yaml"
    resources:
        **needs("generate", lambda wildcards: CONFIG.pools[wildcards.pool].model),
    params:
        model=lambda wildcards: PLAN.generation.spec(CONFIG.pools[wildcards.pool].model),
        options=lambda wildcards: options(
            CONFIG.pools[wildcards.pool], "model", "datasets", "labeller", "rows", "shards"
        ),
        code=code("sample", *PLAN.generation.modules),
    script:
        "../scripts/sample.py"


rule pool_states:
    """Layer states at the endpoint of every finished response of one shard."""
    input:
        samples=results("pools/{pool}/samples/{shard}-of-{shards}.parquet"),
        model=lambda wildcards: PLAN.models.files(CONFIG.pools[wildcards.pool].model),
    output:
        states=directory(results("pools/{pool}/states/{pooling}/{shard}-of-{shards}")),
    log:
        logs("pool_states/{pool}/{pooling}/{shard}-of-{shards}"),
    benchmark:
        timings("pool_states/{pool}/{pooling}/{shard}-of-{shards}")
    priority: AHEAD
    conda:
        "../../envs/trulysafe.yaml"
    resources:
        **needs("forward", lambda wildcards: CONFIG.pools[wildcards.pool].model),
    params:
        model=lambda wildcards: PLAN.models.spec(CONFIG.pools[wildcards.pool].model),
        block=lambda wildcards: CONFIG.pools[wildcards.pool].block,
        batch_size=CONFIG.batching.forward_batch,
        code=code("pool_states"),
    script:
        "../scripts/pool_states.py"


rule policy_states:
    """The same for a later round: the pool's responses as an earlier policy represents them."""
    input:
        samples=results("pools/{pool}/samples/{shard}-of-{shards}.parquet"),
        model=lambda wildcards: PLAN.models.files(wildcards.policy),
    output:
        states=directory(results("pools/{pool}/policy_states/{policy}/{pooling}/{shard}-of-{shards}")),
    log:
        logs("policy_states/{pool}/{policy}/{pooling}/{shard}-of-{shards}"),
    benchmark:
        timings("policy_states/{pool}/{policy}/{pooling}/{shard}-of-{shards}")
    conda:
        "../../envs/trulysafe.yaml"
    resources:
        **needs("forward", lambda wildcards: wildcards.policy),
    params:
        model=lambda wildcards: PLAN.models.spec(wildcards.policy),
        block=lambda wildcards: CONFIG.pools[wildcards.pool].block,
        batch_size=CONFIG.batching.forward_batch,
        code=code("pool_states"),
    script:
        "../scripts/pool_states.py"
