"""FDC, first half: which kind of risk a prompt carries."""


rule fit_labeller:
    """Fit a risk classifier on released labels, or take a language model, and test it on held-out prompts."""
    input:
        datasets=lambda wildcards: PLAN.data.tables(CONFIG.labellers[wildcards.labeller].datasets),
        model=lambda wildcards: PLAN.label.llm_files(CONFIG.labellers[wildcards.labeller].llm),
        split=ancient(results("data/split.parquet")),
    output:
        labeller=directory(results("labellers/{labeller}")),
    log:
        logs("fit_labeller/{labeller}"),
    benchmark:
        timings("fit_labeller/{labeller}")
    priority: AHEAD
    conda:
        "../../envs/trulysafe.yaml"
    resources:
        **labelling(lambda wildcards: wildcards.labeller),
    params:
        kind=lambda wildcards: CONFIG.labellers[wildcards.labeller].kind,
        options=lambda wildcards: options(CONFIG.labellers[wildcards.labeller].options),
        llm=lambda wildcards: PLAN.label.llm_options(CONFIG.labellers[wildcards.labeller].llm),
        roles=lambda wildcards: PLAN.data.roles(CONFIG.labellers[wildcards.labeller].datasets),
        code=lambda wildcards: code("fit_labeller", *PLAN.label.code(wildcards.labeller)),
    script:
        "../scripts/fit_labeller.py"


rule label_prompts:
    """Give the prompts of a pool their risk class."""
    input:
        datasets=lambda wildcards: PLAN.data.tables(CONFIG.pools[wildcards.pool].datasets),
        split=ancient(results("data/split.parquet")),
        labeller=lambda wildcards: PLAN.label.files(CONFIG.pools[wildcards.pool].labeller),
    output:
        prompts=results("pools/{pool}/prompts.parquet"),
    log:
        logs("label_prompts/{pool}"),
    benchmark:
        timings("label_prompts/{pool}")
    priority: AHEAD
    conda:
        "../../envs/trulysafe.yaml"
    resources:
        **labelling(lambda wildcards: CONFIG.pools[wildcards.pool].labeller),
    params:
        rows=lambda wildcards: CONFIG.pools[wildcards.pool].rows,
        kind=lambda wildcards: PLAN.label.kind(CONFIG.pools[wildcards.pool].labeller),
        llm=lambda wildcards: PLAN.label.llm(CONFIG.pools[wildcards.pool].labeller),
        roles=lambda wildcards: PLAN.data.roles(CONFIG.pools[wildcards.pool].datasets),
        code=lambda wildcards: code("label_prompts", *PLAN.label.code(CONFIG.pools[wildcards.pool].labeller)),
    script:
        "../scripts/label_prompts.py"
