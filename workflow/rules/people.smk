"""Judges beside people: every judge classes responses that people have labelled."""


rule human_labels:
    """Labelled responses to prompts that no judge was fitted on."""
    input:
        datasets=PLAN.data.tables(PLAN.evaluate.people_datasets),
        judges=expand(results("judges/{judge}"), judge=PLAN.evaluate.fitted_judges),
        split=ancient(results("data/split.parquet")),
    output:
        responses=results("human_labels/responses.parquet"),
    log:
        logs("human_labels"),
    benchmark:
        timings("human_labels")
    conda:
        "../../envs/trulysafe.yaml"
    params:
        people=PLAN.evaluate.people,
        roles=lambda wildcards: PLAN.data.roles(PLAN.evaluate.people_datasets),
        code=code("human_labels"),
    script:
        "../scripts/human_labels.py"


rule judge_labelled:
    """What one judge, or those that share a job, make of labelled responses."""
    input:
        responses=results("human_labels/responses.parquet"),
        judges=lambda wildcards: PLAN.evaluate.judge_files(PLAN.evaluate.beside_people[wildcards.judges]),
    output:
        verdicts=results("human_labels/verdicts/{judges}.parquet"),
    log:
        logs("judge_labelled/{judges}"),
    benchmark:
        timings("judge_labelled/{judges}")
    conda:
        "../../envs/trulysafe.yaml"
    resources:
        **judging(lambda wildcards: PLAN.evaluate.beside_people[wildcards.judges]),
    params:
        judges=lambda wildcards: {
            name: PLAN.evaluate.judge(name) for name in PLAN.evaluate.beside_people[wildcards.judges]
        },
        code=lambda wildcards: code(
            "judge_labelled",
            *PLAN.evaluate.judge_modules(PLAN.evaluate.beside_people[wildcards.judges]),
            *PLAN.generation.of_judges(PLAN.evaluate.beside_people[wildcards.judges]),
        ),
    script:
        "../scripts/judge_labelled.py"


rule agreement_with_people:
    """How far judges agree with people, and with each other on the same responses."""
    input:
        verdicts=expand(results("human_labels/verdicts/{judges}.parquet"), judges=PLAN.evaluate.beside_people),
    output:
        people=results("metrics/people.csv"),
        between=results("metrics/judges_on_labels.csv"),
    log:
        logs("agreement_with_people"),
    benchmark:
        timings("agreement_with_people")
    conda:
        "../../envs/trulysafe.yaml"
    params:
        code=code("agreement_with_people"),
    script:
        "../scripts/agreement_with_people.py"
