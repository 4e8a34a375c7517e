"""The judge of functions to complete: what it takes for the program, and what it says of it."""

import gzip
import json
import textwrap

import pandas as pd
import pytest

from tests.unit.real_data import FOLDER, needs_real_data
from tests.unit.sandbox_world import needs_isolation
from trulysafe.common.errors import UserError
from trulysafe.data import read as data
from trulysafe.data.readers.humaneval import INSTRUCTION
from trulysafe.evaluate.judging import judged
from trulysafe.judges.python_tests import Options, check, judge, program_of

STUB = 'import math\n\ndef helper(x):\n    return x + 1\n\ndef twice(x: int) -> int:\n    """Twice x."""'
BEFORE = "import math\n\ndef helper(x):\n    return x + 1\n\n"
WHOLE = "def twice(x):\n    return 2 * x\n"
FACTS = {"stub": STUB, "entry_point": "twice", "test": "def check(candidate):\n    assert candidate(4) == 8"}
HUMANEVAL = FOLDER / "humaneval" / "test.jsonl.gz"


def answers(*responses, meta=None):
    frame = pd.DataFrame({"prompt": "p", "response": responses, "risk": "general", "finished": True})
    return frame.assign(meta=json.dumps(FACTS if meta is None else meta)).set_index(
        pd.Index(range(10, 10 + len(frame)))
    )


@pytest.mark.parametrize("name", ["twice(x)", "3", "thrice"])
def test_a_row_whose_function_its_stub_does_not_begin_is_refused(tmp_path, name):
    rows = [{"task_id": "1", "prompt": STUB, "entry_point": given, "test": FACTS["test"]} for given in ("twice", name)]
    path = tmp_path / "own.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    with pytest.raises(UserError, match=r"own\.jsonl: row 2: column 'prompt' begins no function"):
        data.read("humaneval", {"path": str(path)})


@pytest.mark.parametrize("between", ["\n", "\x0c", "\u2028", "\r\n"])
def test_a_definition_broken_in_two_is_no_function_and_stops_no_job(between):
    broken = f"def{between}twice(x): return 2 * x"
    assert program_of(broken, STUB, "twice").startswith(STUB)
    assert program_of(f"async{between}{broken}", STUB, "twice").startswith(STUB)


@pytest.mark.parametrize(
    ("response", "program"),
    [
        (f"```python\n{WHOLE}```", BEFORE + WHOLE),
        (f"Here it is:\n\n```\n{WHOLE}```\nIt doubles.\n```\nother\n```", BEFORE + WHOLE),
        (f"```bash\npip install x\n```\nThen:\n```py\n{WHOLE}```", BEFORE + WHOLE),
        (f"For example:\n```python\ntwice(2)\n```\nso\n```python\n{WHOLE}```", BEFORE + WHOLE),
        (f"1. Write\n   ```python\n{textwrap.indent(WHOLE, '   ')}   ```", BEFORE + WHOLE),
        (f"~~~python title='a'\n{WHOLE}~~~", BEFORE + WHOLE),
        (f"```python\n{WHOLE}", BEFORE + WHOLE),
        (f"Sure!\n\n{WHOLE}\nThis doubles it.\nprint(twice(2))", BEFORE + WHOLE),
        (f"from math import e\nN = 2\n{WHOLE}\nassert twice(2) == 4", f"{BEFORE}from math import e\nN = 2\n{WHOLE}"),
        ("    return 2 * x", f"{STUB}\n    return 2 * x"),
        ("return 2 * x", f"{STUB}\n    return 2 * x"),
        ("```python\n    return 2 * x\n```", f"{STUB}\n    return 2 * x"),
        ("return 2 * x\n\nThis doubles x.", f"{STUB}\n    return 2 * x\n"),
        ("y = x\n    return x + y\n\n\ndef main():\n    pass", f"{STUB}\n    y = x\n    return x + y\n\n"),
        ("y = x\n    return x + y\nif __name__ == '__main__':\n    a", f"{STUB}\n    y = x\n    return x + y"),
        ("y = x\n    return x + y\nprint(1)", f"{STUB}\n    y = x\n    return x + y"),
        ("y = x\nreturn (x\n  + y\n)\nclass A: pass", f"{STUB}\n    y = x\n    return (x\n      + y\n    )"),
        ("if x:\n        return 2 * x\n    return 0", f"{STUB}\n    if x:\n        return 2 * x\n    return 0"),
        ("if x:\n    return 2 * x\nreturn 0", f"{STUB}\n    if x:\n        return 2 * x\n    return 0"),
        ("a = [\n        x,\n    ]\n    return a", f"{STUB}\n    a = [\n        x,\n    ]\n    return a"),
        ("", f"{STUB}\n    "),
    ],
)
def test_the_program_is_found_in_an_answer(response, program):
    assert program_of(response, STUB, "twice").rstrip("\n ") == program.rstrip("\n ")


@needs_isolation
def test_an_answer_is_correct_if_its_program_passes():
    found = judge(
        answers(
            f"```python\n{WHOLE}```",
            "```python\ndef twice(x):\n    return helper(x) - 1 + math.floor(x)\n```",
            "return x * x",
            "I'm sorry, but I cannot help with that.",
            f"I'm sorry, I cannot run it here, but this should do:\n```python\n{WHOLE}```",
            "",
            "return 2*x",
            "    while True: pass",
        ),
        Options(run_programs=True, cpu_seconds=1),
        cores=2,
    )
    assert found["correct"].tolist() == [True, True, False, False, True, False, True, False]
    said = ["complies", "complies", "complies", "refuses", "mixed", "malformed", "complies", "complies"]
    assert found["verdict"].tolist() == said
    assert found.index.tolist() == list(range(10, 18))
    assert str(found["correct"].dtype) == "boolean"


@needs_isolation
def test_cores_and_limits_reach_it_and_the_log_counts(caplog):
    caplog.set_level("INFO")
    right, endless, large = "return 2 * x", "while True: pass", "return [x] * 10**10"
    spec = {"kind": "python_tests", "options": {"run_programs": True, "cpu_seconds": 1}}
    found = judged(answers(right, endless, large, right), spec, cores=2)
    assert found["correct"].tolist() == [True, False, False, True]
    assert "Programs: 1 out of memory, 1 passed, 1 timed out." in caplog.text


def test_an_answer_without_tests_is_not_checked():
    found = judge(answers("Four.", "I cannot help with that.", meta={}), Options(run_programs=True))
    assert found["verdict"].tolist() == ["complies", "refuses"]
    assert found["correct"].isna().all()


def test_nothing_runs_unless_that_is_switched_on():
    with pytest.raises(UserError, match=r"executes programs that a model wrote(.|\n)*run_programs: true"):
        judge(answers(WHOLE), Options())
    check(Options(run_programs=True))


def test_a_row_becomes_an_instruction(tmp_path):
    row = {"task_id": "T/1", "prompt": STUB, "canonical_solution": "    return 2 * x\n"}
    (tmp_path / "a.jsonl").write_text(json.dumps({**row, "test": FACTS["test"], "entry_point": "twice"}), "utf-8")
    frame = data.read("humaneval", {"folder": str(tmp_path), "path": "a.jsonl"}).frame
    assert frame["prompt"].tolist() == [f"{INSTRUCTION}\n\n```python\n{STUB}\n```"]
    assert json.loads(frame["meta"][0]) == {**FACTS, "task_id": "T/1"}


@pytest.fixture(scope="module")
def humaneval():
    """Prompts, and of each the authors' row."""
    frame = data.read("humaneval", {"folder": str(FOLDER)}).frame
    with gzip.open(HUMANEVAL, "rt", encoding="utf-8") as file:
        rows = {row["task_id"]: row for row in map(json.loads, file)}
    return frame, [rows[json.loads(meta)["task_id"]] for meta in frame["meta"]]


ANSWERS = {
    "the whole function in a block": lambda row: f"```python\n{row['prompt']}{row['canonical_solution']}```",
    "the body as it continues": lambda row: row["canonical_solution"].strip(),
}


@needs_real_data
@needs_isolation
@pytest.mark.slow
@pytest.mark.parametrize("form", ANSWERS)
def test_the_authors_solutions_pass(humaneval, form):
    frame, rows = humaneval
    found = judge(frame.assign(response=[ANSWERS[form](row) for row in rows]), Options(run_programs=True), cores=2)
    assert len(found) == 164
    assert found["correct"].all()


@needs_real_data
@needs_isolation
@pytest.mark.long
def test_solutions_with_a_broken_return_fail(humaneval):
    """Each returns an object that is equal to nothing, in place of what it has found."""
    frame, rows = humaneval
    broken = "\n\n{name}_right = {name}\ndef {name}(*given):\n    {name}_right(*given)\n    return object()\n```"
    responses = [
        f"```python\n{row['prompt']}{row['canonical_solution']}" + broken.format(name=row["entry_point"])
        for row in rows
    ]
    assert not judge(frame.assign(response=responses), Options(run_programs=True), cores=2)["correct"].any()
