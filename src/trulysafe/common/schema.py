"""The written schemas of the tables that pass between stages, and the one reader and writer for them."""

from pathlib import Path
from typing import Any, get_args

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from trulysafe.common.errors import UserError
from trulysafe.common.vocabulary import HarmfulRisk, Risk

UNPARSED = "unparsed"
"""Risk class of a prompt whose labeller gave no answer that could be read; no mix draws it."""
RISKS = (*get_args(Risk), UNPARSED, "")
"""Risk classes: explicit, implicit and mixed harm (paper B), harmless look-alikes, general, other, unreadable, not
labelled."""
HARMFUL_RISKS = get_args(HarmfulRisk)
UNLABELLED = "not labelled"
"""What the risk class ``""`` is called wherever classes are counted or measured."""
REFERENCE = "(reference)"
"""Experiment of rows of the reference itself, where policies are held against it; seeds 0 and 1 are two sets of it."""
VERDICTS = ("complies", "safe_completion", "refuses", "mixed", "malformed")
"""The five classes that every answer falls into (five classes keep a collapsed model from counting as safe)."""

_TEXT, _INT = pa.string(), pa.int64()
_TYPES: dict[str, pa.DataType] = {
    **dict.fromkeys("seed step sample tokens draw n".split(), _INT),
    **dict.fromkeys("chosen_reward rejected_reward value stderr ci_low ci_high".split(), pa.float64()),
    **dict.fromkeys("finished flipped correct cut_off".split(), pa.bool_()),
}
"""Types of columns, in whatever table they stand; all others are texts."""
_DEFAULTS: dict[str, Any] = {
    "meta": "{}", **dict.fromkeys(("risk", "family", "source", "label", "said"), ""), "flipped": False, "cut_off": False
}  # fmt: skip
_ORIGIN, _POLICY = " risk family source meta", "experiment seed step "
_COLUMNS = {
    # one row per prompt; family is the resampling unit (topic or template), meta is a JSON object
    "prompts": "prompt_id prompt" + _ORIGIN,
    # one row per given response; label is the human or released label of the response ("" if none)
    "responses": "prompt_id response_id prompt response label" + _ORIGIN,
    # one row per sampled response; finished is false where the token limit cut it off
    "samples": "prompt_id response_id prompt response sample finished tokens" + _ORIGIN,
    # one row per preference pair; rewards are calibrated, NaN where nothing scored the pair
    "pairs": "pair_id prompt_id prompt chosen rejected chosen_reward rejected_reward" + _ORIGIN,
    # one row per prompt of a labelled set: which role of the split may see it
    "split": "prompt_id group_id role",
    # one row per drawn pair; draw is the seed of the draw, flipped is true where the label is to be turned round on
    # purpose
    "mix": "draw pair_id risk pairs flipped",
    # one row per answer of a policy to a benchmark prompt
    "answers": _POLICY + "benchmark prompt_id prompt response finished tokens" + _ORIGIN,
    # one row per passage that may be retrieved; source is the data set
    "passages": "passage_id text source",
    # one row per answer and judge; correct is null where the judge does not check answers; cut_off is true where the
    # token limit ended the answer; said is what the judge's model wrote ("" where it asks none)
    "verdicts": _POLICY + "benchmark judge prompt_id risk family verdict correct cut_off said",
    # one row per judge and response that people labelled; family is the prompt's group of near-duplicates
    "judged_labels": "judge prompt_id response_id family source label verdict",
    # one row per document of a benchmark task: the option that was likeliest, or what was written; right is what it is
    # held against; options is a JSON list of each option with its log-likelihood, taken a JSON object of what each
    # filter takes from a text that was written
    "task_answers": _POLICY + "benchmark prompt_id task answer right options taken cut_off",
    # one row per measured number
    "metrics": "experiment policy seed step benchmark risk judge metric value n stderr ci_low ci_high provenance_id",
}
SCHEMAS = {kind: {name: _TYPES.get(name, _TEXT) for name in names.split()} for kind, names in _COLUMNS.items()}
"""Kind of table -> its columns, in order, with their types."""


def check_table(frame: pd.DataFrame, kind: str, where: str, do: str = "") -> pd.DataFrame:
    """Return ``frame`` with exactly the columns of schema ``kind``, in order; missing ones get their defaults
    (UserError: a column without default is missing, or a text or whole number is null; names ``where`` and row).
    ``do`` ends what is said of a missing column."""
    schema = SCHEMAS[kind]
    absent = {name: value for name, value in _DEFAULTS.items() if name in schema and name not in frame}
    frame = frame.assign(**absent)
    if missing := [column for column in schema if column not in frame]:
        has = f"a {kind} table has {', '.join(schema)}. Found: {', '.join(map(str, frame.columns))}."
        raise UserError(f"{where}: column {missing[0]!r} is missing; {has}{do}")
    for column, column_type in schema.items():
        nulls = frame[column].isna()
        if column_type in (_TEXT, _INT) and nulls.any():
            row = int(nulls.to_numpy().argmax())
            raise UserError(f"{where}: row {row}, column {column!r} is empty. Fill it or remove the row.")
    return frame[list(schema)].reset_index(drop=True)


def write_table(frame: pd.DataFrame, path: Path | str, kind: str) -> None:
    """Write ``frame`` as Parquet under the schema ``kind``: the same rows give the same bytes."""
    checked = check_table(frame, kind, str(path))
    table = pa.Table.from_pandas(checked, schema=pa.schema(list(SCHEMAS[kind].items())), preserve_index=False)
    pq.write_table(table.replace_schema_metadata({"trulysafe": kind}), path, compression="zstd")


def read_table(path: Path | str, kind: str) -> pd.DataFrame:
    """Read a Parquet table written with :func:`write_table` (UserError: the file is absent, is no Parquet, or lacks a
    column of the schema)."""
    try:
        frame = pq.read_table(path).to_pandas()
    except FileNotFoundError as error:
        raise UserError(f"{path}: file not found. Rerun the rule that makes it.") from error
    except pa.ArrowInvalid as error:
        do = "Delete it and rerun the rule that makes it."
        raise UserError(f"{path}: not a readable Parquet file ({error}). {do}") from error
    return check_table(frame, kind, str(path), " Delete it and rerun the rule that makes it.")
