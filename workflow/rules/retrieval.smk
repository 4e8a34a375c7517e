"""Passages that stand before requests while models answer."""


rule gather_passages:
    """The texts of a corpus that experiments may retrieve: none of prompts that are kept for evaluation."""
    input:
        datasets=lambda wildcards: PLAN.data.tables(PLAN.inference.corpora[wildcards.corpus]),
        split=ancient(results("data/split.parquet")),
    output:
        passages=results("passages/{corpus}.parquet"),
    log:
        logs("gather_passages/{corpus}"),
    benchmark:
        timings("gather_passages/{corpus}")
    wildcard_constraints:
        corpus="|".join(PLAN.inference.corpora) or "-",
    conda:
        "../../envs/trulysafe.yaml"
    params:
        kinds=lambda wildcards: PLAN.inference.kinds(wildcards.corpus),
        roles=lambda wildcards: PLAN.data.roles(PLAN.inference.corpora[wildcards.corpus]),
        code=code("gather_passages"),
    script:
        "../scripts/gather_passages.py"
