"""HumanEval: a function to complete from its signature and description; the judge ``python_tests`` runs its tests.

Chen et al. 2021, arXiv:2107.03374; openai/human-eval, MIT, also openai/openai_humaneval on the hub. The prompt is an
instruction around the authors' text, which ``meta.stub`` keeps as it is.
"""

import re

from trulysafe.common.errors import UserError
from trulysafe.data.sources import Fields, Row, SourceOptions, source_options

Options = source_options(__name__, "prompts", "humaneval/test.jsonl.gz", "openai/openai_humaneval")
INSTRUCTION = "Complete this Python function. Answer with the whole function, imports included, in one code block."


def fields(row: Row, options: SourceOptions) -> Fields:
    stub = row.text("prompt")
    facts = {name: row.text(name) for name in ("task_id", "entry_point", "test")}
    name = facts["entry_point"]
    if not name.isidentifier() or not re.search(rf"^\s*(async\s+)?def\s+{name}\b", stub, re.M):
        found = f"column 'prompt' begins no function {name!r}, which column 'entry_point' names"
        raise UserError(f"{row.where}: {found}. Mend or remove the row.")
    return {
        "prompt": f"{INSTRUCTION}\n\n```python\n{stub}\n```",
        "risk": "general",
        "meta": {**facts, "stub": stub},
    }
