"""Kinds of token rewards, a module each (:mod:`trulysafe.common.kinds`).

A kind has ``Options`` and a function ``reader(options, artefact, model, policy, pad, batch_size)`` that loads its
models and gives a :data:`trulysafe.token_rewards.artefact.Reader`; one that is fitted first has ``fit(stanza, model,
tokenizer, safe, unsafe, artefact)``, which returns its loss.
"""
