"""Fingerprints of code: what is imported, without its documentation."""

from trulysafe.workflow.fingerprint import closure, fingerprint


def test_fingerprint_sees_code_and_not_documentation(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        '"""Doc."""\nfrom trulysafe.methods.losses import dpo_margin\n\ndef f():\n    """Doc."""\n    return 1\n',
        encoding="utf-8",
    )
    first = fingerprint(script)
    other = tmp_path / "other.py"
    other.write_text(
        '"""Other."""\nfrom trulysafe.methods.losses import dpo_margin  # why\n\n\ndef f():\n    return 1\n',
        encoding="utf-8",
    )
    assert fingerprint(other) == first
    changed = tmp_path / "changed.py"  # a file is parsed once a process
    changed.write_text(other.read_text(encoding="utf-8").replace("return 1", "return 2"), encoding="utf-8")
    assert fingerprint(changed) != first


def test_closure_is_what_is_imported_and_no_more():
    names = {path.stem for path in closure("trulysafe.models.sampling")}
    assert {"sampling", "tokens", "ids"} <= names
    assert not {"preference", "masks", "fit", "workflow", "errors"} & names
