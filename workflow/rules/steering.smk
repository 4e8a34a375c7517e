"""Directions that steer models while they answer."""


rule fit_direction:
    """Difference of the mean states of harmful and of harmless prompts after one layer of a model."""
    input:
        harmful=lambda wildcards: PLAN.data.tables(PLAN.inference.steer(wildcards.experiment).harmful),
        harmless=lambda wildcards: PLAN.data.tables(PLAN.inference.steer(wildcards.experiment).harmless),
        split=ancient(results("data/split.parquet")),
        model=lambda wildcards: PLAN.models.files(CONFIG.experiments[wildcards.experiment].model),
    output:
        direction=results("directions/{experiment}.safetensors"),
    log:
        logs("fit_direction/{experiment}"),
    benchmark:
        timings("fit_direction/{experiment}")
    wildcard_constraints:
        experiment="|".join(PLAN.inference.steered) or "-",
    conda:
        "../../envs/trulysafe.yaml"
    resources:
        **needs("forward", lambda wildcards: CONFIG.experiments[wildcards.experiment].model),
    params:
        model=lambda wildcards: PLAN.models.spec(CONFIG.experiments[wildcards.experiment].model),
        options=lambda wildcards: options(
            PLAN.inference.steer(wildcards.experiment), "harmful", "harmless", "coefficient", "control"
        ),
        batch_size=CONFIG.batching.forward_batch,
        roles=lambda wildcards: PLAN.data.roles(
            [
                *PLAN.inference.steer(wildcards.experiment).harmful,
                *PLAN.inference.steer(wildcards.experiment).harmless,
            ]
        ),
        code=code("fit_direction"),
    script:
        "../scripts/fit_direction.py"
