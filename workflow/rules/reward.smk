"""RBRM, step 1: the hybrid reward model on hidden states of annotated pairs."""


rule reward_states:
    """Layer states of annotated safe and unsafe responses, at their endpoints and at some of their tokens."""
    input:
        datasets=lambda wildcards: PLAN.data.tables(CONFIG.rewards[wildcards.reward].datasets),
        split=ancient(results("data/split.parquet")),
        model=lambda wildcards: PLAN.models.files(CONFIG.rewards[wildcards.reward].model),
    output:
        states=directory(results("rewards/{reward}/states")),
    log:
        logs("reward_states/{reward}"),
    benchmark:
        timings("reward_states/{reward}")
    conda:
        "../../envs/trulysafe.yaml"
    resources:
        **needs("forward", lambda wildcards: CONFIG.rewards[wildcards.reward].model),
    params:
        model=lambda wildcards: PLAN.models.spec(CONFIG.rewards[wildcards.reward].model),
        options=lambda wildcards: options(CONFIG.rewards[wildcards.reward], "model", "datasets", "fit", "test_share"),
        batch_size=CONFIG.batching.forward_batch,
        roles=lambda wildcards: PLAN.data.roles(CONFIG.rewards[wildcards.reward].datasets),
        code=code("reward_states"),
    script:
        "../scripts/reward_states.py"


rule fit_reward:
    """Fit the hybrid reward and its token-level probes; measure both, per risk class, on held-out prompts."""
    input:
        states=results("rewards/{reward}/states"),
    output:
        reward=directory(results("rewards/{reward}/model")),
        metrics=results("rewards/{reward}/metrics.json"),
        accuracy=results("rewards/{reward}/layer_accuracy.csv"),
    log:
        logs("fit_reward/{reward}"),
    benchmark:
        timings("fit_reward/{reward}")
    conda:
        "../../envs/trulysafe.yaml"
    params:
        options=lambda wildcards: options(CONFIG.rewards[wildcards.reward], "model", "datasets"),
        identity=lambda wildcards: PLAN.reward.identity(wildcards.reward),
        code=code("fit_reward"),
    script:
        "../scripts/fit_reward.py"


rule analyse_layers:
    """How each layer tells safe from unsafe: two principal components, KL between the densities both ways."""
    input:
        states=results("rewards/{reward}/states"),
    output:
        components=results("rewards/{reward}/layer_components.csv"),
        divergence=results("rewards/{reward}/layer_divergence.csv"),
    log:
        logs("analyse_layers/{reward}"),
    benchmark:
        timings("analyse_layers/{reward}")
    conda:
        "../../envs/trulysafe.yaml"
    params:
        code=code("analyse_layers"),
    script:
        "../scripts/analyse_layers.py"


rule reward_ablations:
    """What each choice of the reward is worth: paired differences on held-out pairs, corrected together."""
    input:
        states=[results(f"rewards/{name}/states") for name in PLAN.reward.compared],
    output:
        table=results("metrics/reward_ablations.csv"),
    log:
        logs("reward_ablations"),
    benchmark:
        timings("reward_ablations")
    conda:
        "../../envs/trulysafe.yaml"
    params:
        rewards=PLAN.reward.compared,
        ablations=PLAN.reward.ablations,
        fits=CONFIG.report.reward_fits,
        code=code("reward_ablations"),
    script:
        "../scripts/reward_ablations.py"


rule reward_on_policy:
    """Whether the frozen reward still ranks held-out pairs right on the states of a policy (rounds 2, 3, ...)."""
    input:
        reward=results("rewards/{reward}/model"),
        datasets=lambda wildcards: PLAN.data.tables(CONFIG.rewards[wildcards.reward].datasets),
        split=ancient(results("data/split.parquet")),
        model=lambda wildcards: PLAN.models.files(wildcards.policy),
    output:
        metrics=results("rewards/{reward}/on/{policy}.json"),
    log:
        logs("reward_on_policy/{reward}/{policy}"),
    benchmark:
        timings("reward_on_policy/{reward}/{policy}")
    conda:
        "../../envs/trulysafe.yaml"
    resources:
        **needs("forward", lambda wildcards: wildcards.policy),
    params:
        model=lambda wildcards: PLAN.models.spec(wildcards.policy),
        identity=lambda wildcards: PLAN.reward.identity(wildcards.reward),
        options=lambda wildcards: options(
            CONFIG.rewards[wildcards.reward], "model", "datasets", "fit", "test_share", "token_positions"
        ),
        batch_size=CONFIG.batching.forward_batch,
        roles=lambda wildcards: PLAN.data.roles(CONFIG.rewards[wildcards.reward].datasets),
        code=code("reward_on_policy"),
    script:
        "../scripts/reward_on_policy.py"
