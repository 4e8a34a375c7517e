"""The typed configuration: component tables that experiments refer to by name.

Every field's description is its documentation: ``config/README.md`` is generated from this file. Numbers are read laxly
(YAML takes ``1e-6`` for a text); unknown keys are refused.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.]*$")]
FixedRole = Literal["corpus", "labeller", "reward", "pairs", "judge", "evaluation"]
Role = Literal["corpus", "labeller", "reward", "pairs", "judge", "evaluation", "split"]
Risk = Literal["EHD", "IHD", "MHD", "look_alike", "general", "other"]
Share = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=1)]
Size = Literal["tiny", "1b", "8b", "13b", "70b"]


class Table(BaseModel):
    """A group of keys; unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class TrainedModel(Table):
    """A tiny model that a rule trains from scratch (demo and small real-text runs)."""

    source: Literal["train"] = Field(
        description="`train`: a rule builds the tokenizer and trains the model from scratch."
    )
    corpus: list[Name] = Field(min_length=1, description="Datasets with prompts and responses to train on.")
    architecture: dict[str, Any] = Field(
        default_factory=dict,
        description="Size of the Llama-style model: `hidden_size`, `num_hidden_layers`, `vocab_size`, ...",
    )
    training: dict[str, Any] = Field(
        default_factory=dict, description="`steps`, `batch_size`, `learning_rate`, `max_length`, ..."
    )
    seed: int = Field(0, description="Seed of the weights and of the order of the data.")
    dtype: Literal["float32", "bfloat16", "float16"] = Field(
        "float32", description="Precision of every forward pass after training."
    )
    size: Size = Field("tiny", description="Size class: what its jobs ask a cluster for.")


class HubModel(Table):
    """A model from the Hugging Face hub or a local directory."""

    source: Literal["hub", "path"] = Field(
        description="`hub`: a repository of the Hugging Face hub. `path`: a local directory written by `save_pretrained`."
    )
    name: str = Field(description="Repository name on the hub, or path of the directory.")
    revision: str | None = Field(
        None, description="Commit of the hub repository, 40 hex digits; needed with `source: hub`."
    )
    parameters: float | None = Field(
        None, gt=0, description="Number of weights, for `make plan` where the files are not at hand; changes no result."
    )
    chat_template: str | None = Field(
        None, description="Path of a Jinja file that replaces the tokenizer's chat template."
    )
    dtype: Literal["float32", "bfloat16", "float16"] = Field(
        "bfloat16", description="Precision of the weights in every forward pass."
    )
    size: Size | None = Field(
        None,
        description="Size class: what its jobs ask a cluster for. None reads it from the name (`Llama-2-7b` is `8b`); a name without a number is taken for `8b`.",
    )


Model = Annotated[TrainedModel | HubModel, Field(discriminator="source")]


class Dataset(Table):
    """A source of prompts, responses or pairs."""

    kind: str = Field(description="Reader that turns the source into a table; `trulysafe.data.SOURCES` lists them.")
    role: Role | dict[FixedRole, Share] = Field(
        description="Which stage may see the prompts. `split` assigns each prompt by its hash, by the shares under `split`; "
        "a mapping of roles to shares does so by shares of the dataset's own."
    )
    options: dict[str, Any] = Field(
        default_factory=dict, description="Options of the reader: a path, a column mapping, numbers of rows."
    )


class Split(Table):
    """The one prompt-hash split over all stages."""

    shares: dict[FixedRole, Share] = Field(
        default_factory=lambda: {"labeller": 0.2, "reward": 0.2, "pairs": 0.4, "judge": 0.1, "evaluation": 0.1},  # type: ignore[arg-type]
        description="Share of prompts per role, for datasets whose role is `split`.",
    )
    near_duplicate: Share = Field(
        0.85,
        description="Prompts at least this similar (cosine of character n-gram TF-IDF) get one role, and count as leaked across roles.",
    )


class _Llm(Table):
    """What all language models have in common that stages ask."""

    max_new_tokens: Count = Field(512, description="Token limit of an answer.")
    temperature: float = Field(0.0, ge=0, description="Sampling temperature; 0 is greedy.")
    top_p: float = Field(1.0, gt=0, le=1, description="Nucleus mass, where the temperature is above 0.")


class LocalLlm(_Llm):
    """A Hugging Face model that is asked in the job itself."""

    backend: Literal["local"] = Field(description="`local`: a model of the table `models`, loaded by the job.")
    model: Name = Field(description="Model that answers.")
    batch_size: Count = Field(8, description="Conversations per batch.")


class EndpointLlm(_Llm):
    """A model behind an OpenAI-compatible endpoint."""

    backend: Literal["endpoint"] = Field(description="`endpoint`: an OpenAI-compatible server.")
    base_url: str = Field(
        description="Address that ends before `/chat/completions`, such as `http://localhost:8000/v1`; it may change without a rerun."
    )
    name: str = Field(description="Name that the endpoint knows the model by.")
    revision: str | None = Field(
        None, description="Whatever tells versions of the model apart; a new one asks again. It is never sent."
    )
    key_variable: str | None = Field(
        None,
        description="Environment variable that holds the key; none sends no key. The key itself has no place here.",
    )
    request: dict[str, Any] = Field(
        default_factory=dict,
        description="Further fields of the request body, such as `{response_format: {type: json_object}}`; null leaves a field out that "
        "the endpoint does not take, such as `{max_tokens: null, max_completion_tokens: 512}`.",
    )
    concurrency: Count = Field(8, description="Requests in flight at most.")
    timeout: float = Field(120.0, gt=0, description="Seconds to wait for an answer.")
    attempts: Count = Field(6, description="Attempts per request, with waits that double.")
    first_wait: float = Field(1.0, gt=0, description="Upper end of the first wait, s.")


Llm = Annotated[LocalLlm | EndpointLlm, Field(discriminator="backend")]


class Labeller(Table):
    """A risk labeller (FDC, paper B)."""

    kind: Literal["released", "classifier", "llm"] = Field(
        description="`released`: labels come with the prompts. `classifier`: fitted on released labels. `llm`: a language model in the "
        "role of a safety reviewer, which analyses first and decides second; what cannot be read as such is of class `unparsed`."
    )
    datasets: list[Name] = Field(
        default_factory=list,
        description="Labelled prompts to fit and test the labeller on; `llm` is only tested on them.",
    )
    llm: Name | None = Field(None, description="Language model that is asked (only `llm`).")
    options: dict[str, Any] = Field(default_factory=dict, description="Options of the kind.")


class Pool(Table):
    """Prompts with n sampled responses each (RBRM, sampling)."""

    model: Name = Field(description="Model that responds.")
    datasets: list[Name] = Field(min_length=1, description="Prompts to respond to.")
    labeller: Name | None = Field(
        None, description="Labeller that gives each prompt its risk class; none keeps the dataset's own."
    )
    samples: Count = Field(8, description="Responses per prompt.")
    temperature: float = Field(1.4, gt=0, description="Sampling temperature.")
    top_k: int = Field(8, ge=0, description="Sample among the k likeliest tokens; 0 is all.")
    top_p: float = Field(0.95, gt=0, le=1, description="Nucleus mass.")
    repetition_penalty: float = Field(1.2, gt=0, description="Penalty on tokens that already occur.")
    max_new_tokens: Count = Field(
        256, description="Token limit; a response that reaches it has no endpoint and is dropped from pairs."
    )
    rows: Count | None = Field(None, description="Use this many prompts at most, lowest hashes first.")
    block: Count = Field(
        16, description="Prompts per block. A block has its own seed and its own batch, so shards never change samples."
    )
    shards: Count = Field(1, description="Jobs to spread the blocks over.")
    seed: int = Field(0, description="Seed of the samples.")


class Reward(Table):
    """A hybrid reward model on hidden states (RBRM)."""

    model: Name = Field(description="Model whose states it reads.")
    datasets: list[Name] = Field(min_length=1, description="Annotated pairs, chosen is the safer response.")
    pooling: Literal["eos", "mean", "mean_all"] = Field(
        "eos", description="Position(s) of a response whose state is read."
    )
    rows: Count = Field(1000, description="Pairs to use, at most.")
    test_share: Share = Field(
        0.2, description="Share of the pairs (by prompt) held out of the fit, for the reported accuracies."
    )
    fit: dict[str, Any] = Field(default_factory=dict, description="Options of `trulysafe.reward.fit_hybrid_reward`.")
    token_positions: int = Field(
        4,
        ge=0,
        description="Response positions per answer for the token-level probes that AMA reads; 0 uses the endpoint probes.",
    )
    seed: int = Field(0, description="Seed of the fit.")


class PolicyOf(Table):
    """A trained policy of this configuration."""

    experiment: Name = Field(description="Experiment that trains it.")
    seed: int | None = Field(
        None,
        ge=0,
        description="Its seed; none is the seed of the run that starts from it, or for pairs the first seed.",
    )
    step: Count | None = Field(None, description="One of its snapshots; none is the end of training.")


class Pairs(Table):
    """Preference pairs: annotated, or built by re-ranking a pool."""

    source: Literal["annotated", "rerank"] = Field(
        description="`annotated`: the dataset's own chosen and rejected. `rerank`: a pool's samples, ranked by a reward."
    )
    model: Name = Field(description="Model whose tokenizer measures lengths.")
    datasets: list[Name] = Field(default_factory=list, description="Pair datasets (only `annotated`).")
    labeller: Name | None = Field(
        None, description="Labeller for the prompts of annotated pairs; none keeps the dataset's own risk class."
    )
    pool: Name | None = Field(None, description="Pool to rank (only `rerank`).")
    reward: Name | None = Field(
        None, description="Reward that ranks (only `rerank`), and that scores annotated pairs if given."
    )
    states_from: PolicyOf | None = Field(
        None,
        description="Rank by the states of this policy (rounds 2, 3, ...; the reward stays frozen); none is the pool's own model.",
    )
    rule: Literal["best_worst", "top_k_bottom_k", "best_vs_random"] = Field(
        "best_worst", description="Which ranked responses form pairs."
    )
    k: Count = Field(4, description="Pairs per prompt of `top_k_bottom_k`.")
    min_gap: float = Field(0.0, ge=0, description="Drop pairs whose calibrated rewards differ by no more than this.")
    max_length: Count = Field(512, description="Drop pairs whose prompt plus longer response exceeds this many tokens.")
    rows: Count | None = Field(None, description="Use this many pairs at most, lowest hashes first.")


class Mix(Table):
    """A training set drawn from pairs by risk class (FDC, paper B). Quotas hold after pair construction."""

    pairs: list[Name] = Field(min_length=1, description="Pair tables to draw from.")
    rule: Literal["quota", "random", "ratio"] = Field(
        description="`quota`: so many pairs per harmful class. `random`: a simple random sample of harmful pairs. "
        "`ratio`: so many pairs per general pair, by class."
    )
    quotas: dict[Literal["EHD", "IHD", "MHD"], Annotated[int, Field(ge=0)]] = Field(
        default_factory=dict, description="Pairs per harmful class (only `quota`)."
    )
    total: int | None = Field(None, ge=0, description="Number of harmful pairs (only `random`).")
    ratios: dict[Literal["EHD", "IHD", "MHD"], Annotated[float, Field(ge=0)]] = Field(
        default_factory=dict,
        description="Pairs per general pair (only `ratio`); the precursor of paper B recommends 0.01 to 0.02 for IHD.",
    )
    others: dict[Literal["general", "look_alike", "other"], Annotated[int, Field(ge=0)]] = Field(
        default_factory=dict, description="Pairs of the harmless classes."
    )
    flip: Share = Field(
        0.0,
        description="Share of the harmful pairs of each class whose label is flipped on purpose, to test what notices.",
    )


class Training(Table):
    """Optimisation; a method or an experiment may override single keys."""

    steps: Count = Field(100, description="Optimiser steps.")
    batch_size: Count = Field(8, description="Pairs per micro-batch, over all processes together.")
    accumulation: Count = Field(2, description="Micro-batches per step.")
    learning_rate: float = Field(1e-6, gt=0, description="Peak learning rate of AdamW.")
    warmup_share: Share = Field(0.03, description="Share of the steps with rising learning rate.")
    schedule: str = Field("linear", description="Learning-rate schedule, a name that transformers knows.")
    weight_decay: float = Field(0.0, ge=0, description="AdamW weight decay.")
    max_grad_norm: float = Field(1.0, gt=0, description="Gradient clipping.")
    beta: float = Field(0.15, gt=0, description="Inverse temperature of the implicit reward.")
    bf16: bool = Field(False, description="Mixed precision with bfloat16.")
    gradient_checkpointing: bool = Field(False, description="Recompute activations to save memory.")
    lora: dict[str, Any] | None = Field(None, description="Options of `peft.LoraConfig`; none trains all weights.")
    snapshots: list[Count] = Field(
        default_factory=list, description="Steps at which the policy is kept for the frontier; the last step always is."
    )
    engine: Literal["single", "ddp", "zero2", "zero3"] = Field(
        "single",
        description="What trains one policy: `single` is the job's own process, `ddp`, `zero2` and `zero3` (DeepSpeed) are processes started by "
        "`torchrun`. Changing it reruns nothing.",
    )
    processes: Count = Field(
        1,
        description="Processes of one training run, one for each GPU; `batch_size` must be a multiple. Changing it reruns nothing.",
    )
    nodes: Count = Field(
        1,
        description="Nodes of a SLURM job over which the processes are spread evenly; `processes` must be a multiple. Changing it reruns nothing.",
    )
    checkpoint_steps: int = Field(
        0,
        ge=0,
        description="Optimiser steps between checkpoints under `results/<scenario>/checkpoints/`, from which a failed job goes on; 0 saves one only when the "
        "job is told to stop (SIGTERM). Changing it reruns nothing.",
    )

    @model_validator(mode="after")
    def _spreads_over_processes(self) -> Training:
        if self.engine == "single" and self.processes > 1:
            raise ValueError(f"{self.processes} processes need the engine ddp, zero2 or zero3, not single")
        if self.processes % self.nodes:
            raise ValueError(
                f"{self.processes} processes cannot be spread over {self.nodes} nodes; make them a multiple"
            )
        if self.batch_size % self.processes:
            raise ValueError(
                f"a micro-batch of batch_size {self.batch_size} cannot be spread over {self.processes} processes; make it a multiple and lower accumulation in step"
            )
        return self


LAUNCH = ("engine", "processes", "nodes", "checkpoint_steps")
"""Keys of ``training`` that say how a run is carried out and never what it computes: they are in no provenance id."""


class TokenReward(Table):
    """A source of token rewards for AMA, beside the token-level probes of a hybrid reward (paper B)."""

    kind: Literal["implicit", "token_rm"] = Field(
        description="`implicit`: log-probability of each token under the policy of an experiment less that under the model. "
        "`token_rm`: a token-classification reward model, fitted on the annotated pairs."
    )
    model: Name = Field(description="Model whose tokens are rewarded: the reference, and where `token_rm` starts from.")
    datasets: list[Name] = Field(
        min_length=1, description="Annotated pairs (role `reward`): the training split that fits, centres and scales."
    )
    experiment: Name | None = Field(
        None, description="Experiment whose policy is read, its first seed at the last step (only `implicit`)."
    )
    rows: Count = Field(1000, description="Pairs to use, at most.")
    test_share: Share = Field(
        0.2, description="Share of the pairs (by prompt) held out of fit and constants, for the reported accuracies."
    )
    fit: dict[str, Any] = Field(
        default_factory=dict, description="Options of `trulysafe.token_rm.fit_token_rm` (only `token_rm`)."
    )
    seed: int = Field(0, description="Seed of the fit.")


class MethodTable(Table):
    """A preference method. Defaults are plain DPO."""

    confidence: dict[str, Any] = Field(
        default_factory=dict,
        description="Label confidence (paper A): `kind` (`none`, `fixed`, `label`), `value`, `alpha`, `floor`, `per_pair`, `states`, `online`, `shuffle`, ...",
    )
    mask: dict[str, Any] = Field(
        default_factory=dict,
        description="AMA token mask (paper B): `rule` (`none`, `threshold`, `batch_mean`, `hysteresis`), `width`, `form`, `control`, ...",
    )
    loss: str = Field(
        "sigmoid",
        description="Loss of a pair: `sigmoid` (DPO), `hinge` (SLiC-HF), `robust` (robust DPO, with a fixed confidence above 0.5), `kto` (without mask), or TRL's "
        "`exo_pair`, `ipo`, `sigmoid_norm`, `apo_zero`, `apo_down`, `bco_pair`, `nca_pair`, `sppo_hard`, `discopop`: confidence and mask apply to each. "
        "`aot`, `aot_unpaired` (one process) and `sft` (chosen responses alone) take a mask and no confidence.",
    )
    online: dict[str, Any] = Field(
        default_factory=dict,
        description="Online DPO: `samples` responses of the current policy per prompt and step, judged by the method's `reward` or by `judge`, a judge of this "
        "configuration; `temperature`, `top_k`, ...",
    )
    reward_scope: Literal["safety", "all"] = Field("safety", description="Pairs that confidence and mask apply to.")
    reward: Name | None = Field(None, description="Hybrid reward that confidence or mask read.")
    token_rewards: Name | None = Field(
        None, description="Source of the mask's token rewards; none reads the token-level probes of `reward`."
    )
    gamma_of: Name | None = Field(
        None,
        description="Placebo: the constant gamma (`confidence: {kind: fixed}`) is the mean gamma that this experiment's runs logged.",
    )
    beta: float | None = Field(None, gt=0, description="Overrides `training.beta`.")
    training: dict[str, Any] = Field(default_factory=dict, description="Overrides of single keys of `training`.")


class Experiment(Table):
    """One arm of the comparison: a model, a mix and a method, or the model alone."""

    model: Name = Field(description="Model to start from.")
    start_from: PolicyOf | None = Field(
        None,
        description="Start from this policy, which is then the reference as well (iterative training); none is the model itself.",
    )
    mix: Name | None = Field(None, description="Training set; none (with no method) evaluates the model itself.")
    method: Name | None = Field(None, description="Preference method.")
    seeds: Count = Field(1, description="Number of seeds; each draws its own mix and order.")
    first_seed: int = Field(0, ge=0, description="First seed.")
    label: str = Field("", description="Name in tables and figures; empty is the experiment's key.")
    group: str = Field("main", description="Part of the report: `main` is the comparison, other groups are sweeps.")
    training: dict[str, Any] = Field(default_factory=dict, description="Overrides of single keys of `training`.")


class Judge(Table):
    """Something that classes answers."""

    kind: str = Field(description="Judge in `trulysafe.judges.JUDGES`.")
    datasets: list[Name] = Field(
        default_factory=list, description="Labelled responses to fit the judge on, where it is fitted."
    )
    options: dict[str, Any] = Field(default_factory=dict, description="Options of the judge.")


class Benchmark(Table):
    """Prompts that policies answer, and how the answers count."""

    datasets: list[Name] = Field(min_length=1, description="Prompts to answer.")
    axis: Literal["safety", "over_refusal", "helpfulness"] = Field(description="What a good answer is.")
    risks: list[Risk] = Field(default_factory=list, description="Keep prompts of these classes; empty keeps all.")
    judges: list[Name] = Field(min_length=1, description="Judges; the first is the one in the main table.")
    rows: Count | None = Field(
        None, description="Prompts per risk class at the end point, lowest hashes first; none is all."
    )
    frontier_rows: int | None = Field(
        None,
        ge=0,
        description="Prompts per risk class at earlier snapshots; none is as many as at the end point, 0 skips them.",
    )
    max_new_tokens: Count = Field(256, description="Token limit of an answer.")
    purpose: Literal["test", "development"] = Field(
        "test", description="`development` benchmarks choose operating points; `test` benchmarks are reported."
    )


class Contrast(Table):
    """A comparison declared before it is run."""

    a: Name = Field(description="Experiment.")
    b: Name = Field(description="Experiment it is compared with; the difference is a - b.")
    metric: Literal["safe", "over_refusal", "helpful", "malformed", "truly_safe"] = Field(
        description="Metric compared."
    )
    primary: bool = Field(True, description="Primary contrasts are corrected together (Holm).")


class Batching(Table):
    """How much work one job takes; raise it where jobs are short, lower it where they are long."""

    runs_per_job: Count = Field(1, description="Trainings (experiment and seed, same method) per training job.")
    answer_batch: Count = Field(
        64, description="Prompts per block of answers; blocks of fixed content keep bf16 results stable."
    )
    answer_shards: Count = Field(
        1, description="Jobs to spread the answers of one batch of policies over, and as many to judge them."
    )
    forward_batch: Count = Field(
        32, description="Conversations per forward pass of representations and reference log-probabilities."
    )


class Sweep(Table):
    """A figure of one quantity over experiments."""

    label: str = Field(description="Axis label: what varies.")
    points: dict[Name, float] = Field(description="Experiment and its value on the axis.")


class Ablation(Table):
    """A choice, and what it is worth: an arm that differs from its default in one thing."""

    choice: str = Field(description="What the arm chooses otherwise, for reading.")
    arm: Name = Field(description="Experiment with the other choice.")
    default: Name = Field(description="Experiment it is compared with; differences are arm - default.")
    primary: bool = Field(True, description="Primary ablations are corrected together (Holm), over all their outcomes.")


class RewardAblation(Table):
    """A choice of the reward, and what it is worth on held-out pairs: a fit that differs from its default in one thing."""

    choice: str = Field(description="What is chosen otherwise, for reading.")
    reward: Name | None = Field(None, description="Reward with the other choice; this, `fit` or `baseline`.")
    fit: dict[str, Any] | None = Field(
        None, description="Options of the fit that differ, on the states of the default: `{two_stage: true}`."
    )
    baseline: Literal["best_layer", "concatenated", "mean_of_layers"] | None = Field(
        None,
        description="What stands in the reward's place, on the states of the default: logistic regressions on the best layer (chosen on inner "
        "folds), on all layers side by side, or on each layer with their mean.",
    )
    default: Name = Field(description="Reward it is compared with; differences are the other choice less this one.")
    primary: bool = Field(True, description="Primary ones are corrected together (Holm), over all their outcomes.")

    @model_validator(mode="after")
    def _one_side(self) -> RewardAblation:
        if sum(side is not None for side in (self.reward, self.fit, self.baseline)) != 1:
            raise ValueError("give one of reward, fit and baseline to compare with the default")
        return self


class KeptTokens(Table):
    """A figure and a page that show which tokens a mask keeps in a few harmless pairs (look-alike and general ones alone)."""

    method: Name = Field(description="Method whose mask and token rewards are shown.")
    pairs: Name = Field(description="Annotated pairs to take examples from; harmful ones are never shown.")
    examples: Count = Field(4, description="Pairs to show, lowest hashes first, half of them look-alikes.")


class Report(Table):
    """What the report compares."""

    contrasts: dict[Name, Contrast] = Field(default_factory=dict, description="Declared contrasts.")
    sweeps: dict[Name, Sweep] = Field(default_factory=dict, description="Sweep figures.")
    ablations: dict[Name, Ablation] = Field(default_factory=dict, description="Table of what each choice is worth.")
    reward_ablations: dict[Name, RewardAblation] = Field(
        default_factory=dict, description="What each choice of the reward is worth, in the table of ablations."
    )
    reward_fits: Count = Field(5, description="Fits per reward of `reward_ablations`, each with a seed of its own.")
    kept_tokens: KeptTokens | None = Field(None, description="Figure and page of kept tokens; none leaves them out.")
    published: bool = Field(True, description="Put the papers' published values beside ours.")
    diversity_answers: int = Field(
        100,
        ge=0,
        description="Answers per policy and risk class, lowest hashes first, on which distinct-n and self-BLEU are computed; 0 leaves them out.",
    )


class Drift(Table):
    """What is measured of policies along training: do responses change their order, or their distribution?"""

    experiments: list[Name] = Field(min_length=1, description="Experiments to follow, at every snapshot.")
    pool: Name = Field(description="Pool whose responses' likelihoods are read, and whose decoding draws new samples.")
    prompts: Count = Field(48, description="Prompts of the pool, at most, lowest hashes first.")
    benchmark: Name = Field(
        description="Benchmark whose prompts get new samples; its first judge classes them, which must be one that is not fitted."
    )
    fresh_prompts: Count = Field(48, description="Prompts of the benchmark, at most, lowest hashes first.")
    fresh_samples: Count = Field(2, description="New samples per prompt and policy.")


class Configuration(Table):
    """The whole configuration."""

    scenario: Name = Field(description="Name of the run; everything it makes lies under `results/<scenario>/`.")
    groups: list[str] = Field(
        default_factory=list,
        description="Run only the experiments of these groups, with what they wait for and are compared with; empty runs all.",
    )
    data: str = Field("", description="Folder of data files; relative paths in datasets start here.")
    cache: str = Field(
        "",
        description="Folder that `make prefetch` fills from the hub and jobs read, `~` and `$VARIABLES` allowed; empty is the user's own Hugging Face cache.",
    )
    seed: int = Field(0, description="Seed of the split.")
    split: Split = Field(default_factory=Split, description="The prompt-hash split.")
    models: dict[Name, Model] = Field(description="Models by name.")
    datasets: dict[Name, Dataset] = Field(description="Datasets by name.")
    llms: dict[Name, Llm] = Field(
        default_factory=dict, description="Language models that stages ask (not those that are trained), by name."
    )
    labellers: dict[Name, Labeller] = Field(default_factory=dict, description="Risk labellers by name.")
    pools: dict[Name, Pool] = Field(default_factory=dict, description="Sampled pools by name.")
    rewards: dict[Name, Reward] = Field(default_factory=dict, description="Hybrid rewards by name.")
    pairs: dict[Name, Pairs] = Field(default_factory=dict, description="Pair tables by name.")
    mixes: dict[Name, Mix] = Field(default_factory=dict, description="Training sets by name.")
    training: Training = Field(default_factory=Training, description="Optimisation shared by all experiments.")
    token_rewards: dict[Name, TokenReward] = Field(
        default_factory=dict, description="Further sources of token rewards by name."
    )
    methods: dict[Name, MethodTable] = Field(default_factory=dict, description="Preference methods by name.")
    experiments: dict[Name, Experiment] = Field(description="Arms of the comparison.")
    judges: dict[Name, Judge] = Field(description="Judges by name.")
    benchmarks: dict[Name, Benchmark] = Field(description="Benchmarks by name.")
    drift: Drift | None = Field(
        None,
        description="Policies whose order and distribution of responses is measured along training; none measures none.",
    )
    batching: Batching = Field(default_factory=Batching, description="Size of jobs.")
    report: Report = Field(default_factory=Report, description="Report.")
