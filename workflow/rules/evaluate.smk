"""Answers of every policy, verdicts of every judge, and the numbers."""


rule answer:
    """Greedy answers of a batch of policies to the benchmark prompts of one shard."""
    input:
        unpack(lambda wildcards: PLAN.policy_inputs(wildcards.batch)),
        datasets=PLAN.datasets(
            sorted({name for benchmark in CONFIG.benchmarks.values() for name in benchmark.datasets})
        ),
        split=results("data/split.parquet"),
    output:
        answers=results("answers/{batch}/{shard}-of-{shards}.parquet"),
    log:
        logs("answer/{batch}/{shard}-of-{shards}"),
    benchmark:
        timings("answer/{batch}/{shard}-of-{shards}")
    conda:
        "../../envs/trulysafe.yaml"
    resources:
        **needs("generate", lambda wildcards: PLAN.answering_model(wildcards.batch)),
    params:
        policies=lambda wildcards: PLAN.policies(wildcards.batch),
        benchmarks={
            name: {**options(benchmark, "axis", "judges"), "datasets": PLAN.datasets(benchmark.datasets)}
            for name, benchmark in CONFIG.benchmarks.items()
        },
        block=CONFIG.batching.answer_batch,
        code=code("answer"),
    script:
        "../scripts/answer.py"


# What the numbers need to know of a benchmark; its first judge is the main one.
MEASURED_ON = {
    name: {"axis": benchmark.axis, "purpose": benchmark.purpose, "judge": benchmark.judges[0]}
    for name, benchmark in CONFIG.benchmarks.items()
}
FITTED_JUDGES = [name for name, judge in CONFIG.judges.items() if judge.datasets]


rule fit_judge:
    """Fit a judge on labelled responses and measure it on held-out ones."""
    input:
        datasets=lambda wildcards: PLAN.datasets(CONFIG.judges[wildcards.judge].datasets),
        split=results("data/split.parquet"),
    output:
        judge=directory(results("judges/{judge}")),
    log:
        logs("fit_judge/{judge}"),
    benchmark:
        timings("fit_judge/{judge}")
    conda:
        "../../envs/trulysafe.yaml"
    params:
        kind=lambda wildcards: CONFIG.judges[wildcards.judge].kind,
        options=lambda wildcards: CONFIG.judges[wildcards.judge].options,
        code=code("fit_judge"),
    script:
        "../scripts/fit_judge.py"


rule judge:
    """Verdicts of every judge on one shard of a batch of answers."""
    input:
        answers=results("answers/{batch}/{shard}-of-{shards}.parquet"),
        judges=expand(results("judges/{judge}"), judge=FITTED_JUDGES),
    output:
        verdicts=results("verdicts/{batch}/{shard}-of-{shards}.parquet"),
    log:
        logs("judge/{batch}/{shard}-of-{shards}"),
    benchmark:
        timings("judge/{batch}/{shard}-of-{shards}")
    conda:
        "../../envs/trulysafe.yaml"
    params:
        judges={name: PLAN.judge_spec(name) for name in CONFIG.judges},
        benchmarks={name: benchmark.judges for name, benchmark in CONFIG.benchmarks.items()},
        code=code("judge"),
    script:
        "../scripts/judge.py"


rule metrics:
    """Every number with n and interval; the declared contrasts; over-refusal at matched safety; agreement of judges."""
    input:
        verdicts=[path for batch in PLAN.batches for path in PLAN.answer_shards(batch, "verdicts")],
        answers=[path for batch in PLAN.batches for path in PLAN.answer_shards(batch)],
    output:
        metrics=results("metrics/metrics.parquet"),
        contrasts=results("metrics/contrasts.csv"),
        matched=results("metrics/matched_safety.csv"),
        judges=results("metrics/judge_agreement.csv"),
    log:
        logs("metrics"),
    benchmark:
        timings("metrics")
    conda:
        "../../envs/trulysafe.yaml"
    params:
        benchmarks=MEASURED_ON,
        contrasts={name: options(contrast) for name, contrast in CONFIG.report.contrasts.items()},
        starts=PLAN.starts,
        start_seeds={
            name: item.start_from.seed
            for name, item in CONFIG.experiments.items()
            if item.start_from is not None and item.start_from.seed is not None
        },
        diversity_answers=CONFIG.report.diversity_answers,
        judges=list(CONFIG.judges),
        code=code("metrics"),
    script:
        "../scripts/metrics.py"


rule ablations:
    """What each contested choice is worth: paired differences of an arm to its default, corrected together."""
    input:
        verdicts=[path for batch in PLAN.ablation_batches for path in PLAN.answer_shards(batch, "verdicts")],
    output:
        table=results("metrics/ablations.csv"),
    log:
        logs("ablations"),
    benchmark:
        timings("ablations")
    conda:
        "../../envs/trulysafe.yaml"
    params:
        ablations={name: options(ablation) for name, ablation in CONFIG.report.ablations.items()},
        benchmarks=MEASURED_ON,
        judges=list(CONFIG.judges),
        code=code("ablations"),
    script:
        "../scripts/ablations.py"
