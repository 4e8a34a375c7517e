"""Directions that steer models while they answer."""


rule fit_direction:
    """Difference of the mean states of harmful and of harmless prompts after one layer of a model."""
    input:
        harmful=lambda wildcards: PLAN.data.tables(PLAN.inference.directions[wildcards.direction].steer.harmful),
        harmless=lambda wildcards: PLAN.data.tables(PLAN.inference.directions[wildcards.direction].steer.harmless),
        split=ancient(results("data/split.parquet")),
        model=lambda wildcards: PLAN.models.files(PLAN.inference.directions[wildcards.direction].model),
    output:
        direction=results("directions/{direction}.safetensors"),
    log:
        logs("fit_direction/{direction}"),
    benchmark:
        timings("fit_direction/{direction}")
    wildcard_constraints:
        direction="|".join(PLAN.inference.directions) or "-",
    conda:
        "../../envs/trulysafe.yaml"
    resources:
        **needs("forward", lambda wildcards: PLAN.inference.directions[wildcards.direction].model),
    params:
        model=lambda wildcards: PLAN.models.spec(PLAN.inference.directions[wildcards.direction].model),
        options=lambda wildcards: options(
            PLAN.inference.directions[wildcards.direction].steer,
            "harmful",
            "harmless",
            "coefficient",
            "control",
        ),
        batch_size=CONFIG.batching.forward_batch,
        roles=lambda wildcards: PLAN.data.roles(
            [
                *PLAN.inference.directions[wildcards.direction].steer.harmful,
                *PLAN.inference.directions[wildcards.direction].steer.harmless,
            ]
        ),
        code=code("fit_direction"),
    script:
        "../scripts/fit_direction.py"
