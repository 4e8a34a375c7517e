"""Passages that stand before requests while models answer."""


rule gather_passages:
    """The texts of a corpus that an experiment may retrieve: none of prompts that are kept for evaluation."""
    input:
        datasets=lambda wildcards: PLAN.data.tables(PLAN.inference.retrieve(wildcards.experiment).corpus),
        split=ancient(results("data/split.parquet")),
    output:
        passages=results("passages/{experiment}.parquet"),
    log:
        logs("gather_passages/{experiment}"),
    benchmark:
        timings("gather_passages/{experiment}")
    wildcard_constraints:
        experiment="|".join(PLAN.inference.retrieving) or "-",
    conda:
        "../../envs/trulysafe.yaml"
    params:
        kinds=lambda wildcards: PLAN.inference.kinds(wildcards.experiment),
        k=lambda wildcards: PLAN.inference.retrieve(wildcards.experiment).k,
        roles=lambda wildcards: PLAN.data.roles(PLAN.inference.retrieve(wildcards.experiment).corpus),
        code=code("gather_passages"),
    script:
        "../scripts/gather_passages.py"
