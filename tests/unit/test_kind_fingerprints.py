"""A job's fingerprint covers the kind that it uses and no other: the script names none, the rule adds the kind's
module."""

from pathlib import Path

import pytest

from trulysafe.common.kinds import LABELLERS, TOKEN_REWARDS
from trulysafe.workflow.fingerprint import closure, fingerprint

ROOT = Path(__file__).resolve().parents[2]
SCRIPTS = {
    "fit_labeller": LABELLERS,
    "label_prompts": LABELLERS,
    "annotated_pairs": LABELLERS,
    "fit_token_rewards": TOKEN_REWARDS,
    "read_token_rewards": TOKEN_REWARDS,
}
CASES = [(script, kinds, kind) for script, kinds in SCRIPTS.items() for kind in kinds.names]


def module_path(kinds, kind):
    return ROOT / "src" / f"{kinds.module_name(kind).replace('.', '/')}.py"


@pytest.mark.parametrize(("script", "kinds", "kind"), CASES, ids=lambda value: value if isinstance(value, str) else "")
def test_a_script_with_a_kind_covers_that_kind_and_no_other(script, kinds, kind):
    path = ROOT / "workflow" / "scripts" / f"{script}.py"
    covered = closure(path, kinds.module_name(kind))
    assert {other for other in kinds.names if module_path(kinds, other) in covered} == {kind}
    assert not {other for other in kinds.names if module_path(kinds, other) in closure(path)}
    assert fingerprint(path, kinds.module_name(kind)) != fingerprint(path)


def test_the_client_of_a_language_model_is_code_of_the_labeller_that_asks_it_alone():
    client = {ROOT / "src" / "trulysafe" / "llm" / f"{name}.py" for name in ("client", "endpoint", "local")}
    path = ROOT / "workflow" / "scripts" / "fit_labeller.py"
    assert client <= closure(path, LABELLERS.module_name("llm"))
    for kind in {*LABELLERS.names} - {"llm"}:
        assert not client & closure(path, LABELLERS.module_name(kind))
