"""HumanEval: a function to complete from its signature and description; the judge ``python_tests`` runs its tests.

Chen et al. 2021, arXiv:2107.03374; openai/human-eval, MIT, also openai/openai_humaneval on the hub. The prompt is an
instruction around the authors' text, which ``meta.stub`` keeps as it is.
"""

from trulysafe.data.sources import Fields, Row, SourceOptions, source_options

Options = source_options(__name__, "prompts", "humaneval/test.jsonl.gz", "openai/openai_humaneval")
INSTRUCTION = "Complete this Python function. Answer with the whole function, imports included, in one code block."


def fields(row: Row, options: SourceOptions) -> Fields:
    stub = row.text("prompt")
    facts = {name: row.text(name) for name in ("task_id", "entry_point", "test")}
    return {
        "prompt": f"{INSTRUCTION}\n\n```python\n{stub}\n```",
        "risk": "general",
        "meta": {**facts, "stub": stub},
    }
