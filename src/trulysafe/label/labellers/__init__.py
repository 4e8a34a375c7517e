"""Kinds of risk labellers, a module each (:mod:`trulysafe.common.kinds`).

A kind has ``Options`` and a function ``label(frame, artefact, options, client)`` that fills the empty ``risk`` of a
table. One that is fitted or tested first has ``fit(labelled, folder, options, client)``, which returns its metrics; one
that needs ``llm`` has ``open_client``.
"""
