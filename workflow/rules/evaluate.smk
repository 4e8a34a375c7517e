"""Answers of every policy, verdicts of every judge, and the numbers."""


rule answer:
    """Greedy answers of the policies of one job to the benchmark prompts of one shard."""
    input:
        unpack(lambda wildcards: PLAN.evaluate.inputs(wildcards.job)),
        datasets=PLAN.data.tables(
            sorted({name for benchmark in CONFIG.benchmarks.values() for name in benchmark.datasets})
        ),
        split=results("data/split.parquet"),
    output:
        answers=results("answers/{job}/{shard}-of-{shards}.parquet"),
    log:
        logs("answer/{job}/{shard}-of-{shards}"),
    benchmark:
        timings("answer/{job}/{shard}-of-{shards}")
    conda:
        "../../envs/trulysafe.yaml"
    resources:
        **needs("generate", lambda wildcards: PLAN.policies.model(wildcards.job)),
    params:
        policies=lambda wildcards: PLAN.models.of_job(wildcards.job),
        benchmarks={
            name: {**options(benchmark, "axis", "judges"), "datasets": PLAN.data.tables(benchmark.datasets)}
            for name, benchmark in CONFIG.benchmarks.items()
        },
        block=CONFIG.batching.answer_batch,
        code=code("answer"),
    script:
        "../scripts/answer.py"


rule fit_judge:
    """Fit a judge on labelled responses and measure it on held-out ones."""
    input:
        datasets=lambda wildcards: PLAN.data.tables(CONFIG.judges[wildcards.judge].datasets),
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
    """Verdicts of every judge on one shard of the answers of one job."""
    input:
        answers=results("answers/{job}/{shard}-of-{shards}.parquet"),
        judges=expand(results("judges/{judge}"), judge=PLAN.evaluate.fitted_judges),
    output:
        verdicts=results("verdicts/{job}/{shard}-of-{shards}.parquet"),
    log:
        logs("judge/{job}/{shard}-of-{shards}"),
    benchmark:
        timings("judge/{job}/{shard}-of-{shards}")
    conda:
        "../../envs/trulysafe.yaml"
    params:
        judges={name: PLAN.evaluate.judge(name) for name in CONFIG.judges},
        benchmarks={name: benchmark.judges for name, benchmark in CONFIG.benchmarks.items()},
        code=code("judge"),
    script:
        "../scripts/judge.py"


rule metrics:
    """Every number with n and interval; the declared contrasts; over-refusal at matched safety; agreement of judges."""
    input:
        verdicts=[path for job in PLAN.policies.jobs for path in PLAN.evaluate.answers(job, "verdicts")],
        answers=[path for job in PLAN.policies.jobs for path in PLAN.evaluate.answers(job)],
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
        benchmarks=PLAN.evaluate.measured_on,
        contrasts={name: options(contrast) for name, contrast in CONFIG.report.contrasts.items()},
        starts=PLAN.policies.starts,
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
        verdicts=[path for job in PLAN.evaluate.ablated for path in PLAN.evaluate.answers(job, "verdicts")],
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
        benchmarks=PLAN.evaluate.measured_on,
        judges=list(CONFIG.judges),
        code=code("ablations"),
    script:
        "../scripts/ablations.py"
