"""Run programs that a model has written, in isolation: :func:`trulysafe.sandbox.run.run`, and nothing else, starts one.

Three processes, one after another: ``run`` (the job) starts ``_enter`` in namespaces of its own, which builds a root of
read-only folders, gives up its rights and starts ``_program``, which holds the program. docs/sandbox.md says what that
holds and what it does not.
"""
