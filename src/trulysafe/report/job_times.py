"""Wall time of jobs, from Snakemake's benchmark files: ``<rule>.tsv`` or ``<rule>/<rest>.tsv``, one per job."""

from pathlib import Path

import pandas as pd


def job_seconds(timing: Path | str) -> float:
    """Wall time of the job that a benchmark file is of, seconds."""
    return float(pd.read_csv(timing, sep="\t")["s"].iloc[0])


def job_times(timings: Path | str) -> pd.DataFrame:
    """Wall time of every job, columns rule and seconds; a file's path below the folder begins with the rule."""
    root = Path(timings)
    files = sorted(root.rglob("*.tsv"))
    rows = [(path.relative_to(root).parts[0].removesuffix(".tsv"), job_seconds(path)) for path in files]
    return pd.DataFrame(rows, columns=["rule", "seconds"])


def time_rows(times: pd.DataFrame) -> pd.DataFrame:
    """Sum wall time over the jobs of each rule, longest first: columns rule, seconds, jobs."""
    found = times.groupby("rule")["seconds"].agg(seconds="sum", jobs="count").reset_index()
    return found.sort_values(["seconds", "rule"], ascending=[False, True], ignore_index=True)


def duration(seconds: float) -> str:
    """``12.3 s``, ``3 min 05 s`` or ``2 h 07 min``."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    minutes = f"{whole // 60} min {whole % 60:02d} s"
    return minutes if whole < 3600 else f"{whole // 3600} h {whole % 3600 // 60:02d} min"
