"""The plan on one screen."""

from __future__ import annotations

import pandas as pd

from trulysafe.report.job_times import duration
from trulysafe.tools.cost.assumptions import Assumptions
from trulysafe.tools.cost.estimate import Gpu

_HEAD = ("Rule", "Jobs", "GPUs", "A job", "GPU-hours", "Disk")
_RAN = ("Done", "Took", "Took/planned")


def screen(scenario: str, table: pd.DataFrame, gpu: Gpu, gpus: int, wall: float, assumptions: Assumptions) -> str:
    """Lay a plan out for reading.

    Args:
        scenario: its name.
        table: from :func:`trulysafe.tools.cost.measured.beside`.
        gpu: the GPU type.
        gpus: GPUs at the same time.
        wall: hours from start to end.
        assumptions: printed below.
    """
    ran = bool(table["jobs_done"].sum())
    rows = [(*_HEAD, *(_RAN if ran else ()))]
    for row in table.to_dict("records"):
        cells = (
            row["rule"],
            str(row["jobs"]),
            str(row["gpus"] or "-"),
            duration(row["hours_per_job"] * 3600),
            f"{row['gpu_hours']:.2f}" if row["gpus"] else "-",
            disk(row["disk_gb"]),
        )
        took = (str(row["jobs_done"]), duration(row["measured_hours"] * 3600), f"{row['ratio']:.2f}")
        rows.append(cells + (took if row["jobs_done"] else ("0", "-", "-")) if ran else cells)
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = [
        "  ".join(
            cell.ljust(width) if not column else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    ]
    lines.insert(1, "-" * len(lines[0]))
    total = (
        f"{scenario}: {table['jobs'].sum()} jobs, {table['gpu_hours'].sum():.1f} GPU-hours on {gpu.name}, "
        f"{disk(table['disk_gb'].sum())} of disk; {duration(wall * 3600)} with {gpus} at a time, queues not counted"
    )
    assumed = [f"  {name} = {value:g}: {meaning}" for name, value, meaning in assumptions.lines()]
    notes = [
        "Upper bounds: no prompt is dropped and every block runs to its token limit. Judges that are models and endpoints are not priced. Assumed:"
    ]
    return "\n".join([total, "", *lines, "", *notes, *assumed])


def disk(gigabytes: float) -> str:
    """``0.3 MB``, ``12 GB``, ``1.2 TB``, or ``-`` for less than 50 kB."""
    if gigabytes < 5e-5:
        return "-"
    for unit, size in (("TB", 1e3), ("GB", 1.0)):
        if gigabytes >= size:
            return f"{gigabytes / size:.1f} {unit}"
    return f"{gigabytes * 1e3:.1f} MB"
