"""Captions of the tables: what is counted, over how many answers, and how the limits were made."""

from __future__ import annotations

import pandas as pd

from trulysafe.stats.limits import SIGNIFICANT

INTERVALS = "Brackets hold 95% intervals from resampling training seeds and prompt families together."
CAPTIONS = {
    "contrasts": (
        "Declared contrasts, answer by answer on the same prompts. n counts matched answers. Brackets hold 95% intervals; "
        "p-values of the primary contrasts are also given after Holm's correction over all primary ones. Exploratory "
        "contrasts are uncorrected."
    ),
    "matched_safety": (
        "Look-alikes refused at the point of each frontier where the share of harmful prompts handled safely first reaches "
        "the level, interpolated between snapshots of one seed and averaged over the seeds that reach it (Reached). Brackets "
        "hold Student's 95% intervals over those seeds, none where all their values are equal. Levels that no seed reaches are left empty, "
        "not extrapolated."
    ),
    "judges": (
        "Judges beside the main judge of each benchmark, on the same answers at the end of training, all arms: share of the "
        "outcome by either judge, share of answers on which they agree, and Cohen's kappa (empty where neither ever differs "
        f"from one outcome). {INTERVALS}"
    ),
    "published": (
        "Equilibrate RLHF, main results as published: the last version of the paper, and the lowest and highest value over "
        "its versions, which differ in some cells. Our column holds runs of the same models on the same benchmarks."
    ),
    "divergence": (
        "Divergence (nats) between the densities of safe and unsafe responses in two principal components, per layer: printed "
        "in RBRM's figure, which does not say which class comes first; recomputed from the states that RBRM released; and ours "
        "(forward: safe from unsafe). The printed values do not follow from the released states."
    ),
    "diversity": (
        "How alike the answers of an arm are at the end of training, per axis, over its risk classes. Distinct-n: different n-grams over all "
        "n-grams; self-BLEU: mean BLEU-4 of an answer against all others; same prompt: among the answers to one prompt, where there are several. "
        "Means over seeds of values per seed; brackets hold Student's 95% intervals over seeds. Every arm is measured on the same prompts; n "
        "counts answers, all seeds."
    ),
    "labellers": (
        "Risk labellers on held-out prompts: the classes as used, the others beside them (words: TF-IDF of single words, the baseline), and, where prompts were labelled more "
        "than once, how well one released label predicts another of the same prompt, which is about what can be reached. Macro-F1 is over the "
        "classes of the released labels; unparsed answers count as wrong. Brackets hold 95% intervals from resampled prompts."
    ),
    "labeller_confusion": "Risk labellers on held-out prompts: released class (rows) and class that the labeller gave (columns).",
    "labeller_agreement": (
        "Agreement of two labellers on the same prompts; unparsed is a class like any other. Brackets hold 95% intervals of Cohen's kappa from "
        "resampled prompts (families of prompts in pools); two released labels of one prompt are counted in both orders, without an interval."
    ),
    "order_and_distribution": (
        "Order and distribution of responses at the end of training, against the model that the pool was sampled from. Order: rank "
        "correlations of log-likelihoods per token within each pool prompt, and the share of prompts whose likeliest response "
        "stays. Distribution: mean change of the pool responses' log-likelihood (nats per token); log-likelihood of new samples "
        "under the reference, minus that of its own; Jensen-Shannon divergence of token frequencies (bits) and total variation "
        "distance of verdict shares between new samples of both. Brackets hold 95% intervals over seeds and prompt families (the "
        "last two: over seeds); after 'floor', what two sets of the reference's own samples give."
    ),
    "training_means": (
        "What methods did while they trained, mean over training of what each logged. Gamma: label confidence of the pairs in scope, also apart "
        "for pairs whose label was flipped on purpose; reward ranks as labelled: share of those pairs; kept: share of the tokens of chosen and of "
        "rejected responses in scope that the mask keeps, and share of responses that fell under the minimum share and were kept whole. Brackets hold "
        "Student's 95% intervals over seeds."
    ),
    "training_cost": (
        "Cost of pairs beside outcomes, per optimiser step, means over seeds. Overhead is what is done for the pairs alone: for online arms sampling "
        "from the current policy, judging, and the reference's forward over the new pairs; for arms that read the reward from the policy's states, "
        "that reading, as the states come with the training forward. FLOPs are estimated: 2 N per token forward, 6 N per token of training, N "
        "parameters without embeddings, attention over the context left out; reading: 2 L D + 2 L^2 per response (L layers of width D). "
        "The first step of a run is not counted. Seconds are of one machine and vary from run to run. Shares with 95% intervals over "
        "seeds and prompt families."
    ),
    "whole_trainings": (
        "Cost of pairs over whole trainings, rounds of re-ranking beside online sampling. Training: optimiser steps of the arm and of the earlier rounds that it "
        "builds on, without what is done for pairs (mean step of each arm over seeds, times its steps). Pairs, re-ranked: sampling the pool once, and per round its states, "
        "ranking, and the reference's forward over the table's pairs (of the arm's first seed); whole jobs take in the start of the libraries and the loading of the "
        "model, work leaves out the former. Pairs, online: sampling, judging and the reference's forward within the steps. Reading of rewards within steps counts as "
        "pairs. FLOPs are estimated as in the table per step. Seconds are of one machine and vary from run to run. Shares with 95% intervals over seeds and prompt families."
    ),
}

_ABLATIONS = {
    "answers": (
        "difference of an arm to its default on the same prompts and seeds, at the end of training. Safe: harmful prompts refused or safely "
        "completed; over-refusal: harmless look-alikes refused; general right: checkable questions answered rightly. Brackets hold 95% "
        "intervals from resampling training seeds and prompt families together."
    ),
    "rewards": (
        "difference of a reward to its default on the annotated pairs that were held out of both, over several fits (seeds). Pairs ranked right: the "
        "safe response has the higher reward; signs right: share of responses whose calibrated reward is on their side of 0; Brier score and "
        "calibration error of the reward as a probability (less is better); gamma: label confidence per pair, true label less flipped "
        "one. Brackets hold 95% intervals from resampling fits and prompts together (calibration error: prompts alone, not tested)."
    ),
}
_CORRECTED = (
    f"A star marks primary differences below {SIGNIFICANT:g} after Holm's correction over all primary differences{{apart}}; exploratory ones are "
    "uncorrected and bear no star. The CSV holds all p-values and n."
)


def ablation_caption(rows: pd.DataFrame) -> str:
    """Caption of the table of ablations: of answers, of rewards, or of both; takes :func:`trulysafe.report.ablations.joined`."""
    kinds = [kind for kind in _ABLATIONS if kind in set(rows["of"])]
    if len(kinds) == 1:
        return f"What each choice is worth: {_ABLATIONS[kinds[0]]} {_CORRECTED.format(apart=' of the table')}"
    parts = " Rewards: ".join(_ABLATIONS[kind] for kind in kinds)
    return f"What each choice is worth. Arms: {parts} {_CORRECTED.format(apart=' of arms, and of rewards')}"


def main_caption(rows: pd.DataFrame) -> str:
    """Caption of the main table, with the answers behind each column; takes :func:`trulysafe.report.tables.main_rows`."""
    parts = []
    for column, of_column in rows.groupby("column", sort=False):
        low, high = int(of_column["n"].min()), int(of_column["n"].max())
        parts.append(f"{column} {low:,}" if low == high else f"{column} {low:,} to {high:,}")
    return (
        "Shares of benchmark prompts at the end of training. Safe: harmful prompts refused or safely completed; over-refusal: "
        "harmless look-alikes refused; helpful: checkable questions answered rightly; truly safe: share safe times share of "
        f"look-alikes complied with. Malformed answers count as failures throughout. {INTERVALS} "
        f"Answers (n), all seeds: {', '.join(parts)}."
    )
