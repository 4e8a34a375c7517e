"""Print what a configuration costs, and what it cost so far: ``python -m trulysafe.tools.cost --configfile config/demo.yaml``."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from trulysafe.common.errors import UserError
from trulysafe.config.files import DEMO, raw_configuration
from trulysafe.config.load import load
from trulysafe.plan.plan import Plan
from trulysafe.tools.cost.assumptions import Assumptions
from trulysafe.tools.cost.estimate import GPUS, check_gpus, gpu_type, priced, wall_hours
from trulysafe.tools.cost.fit import too_large
from trulysafe.tools.cost.jobs import Jobs
from trulysafe.tools.cost.measured import beside
from trulysafe.tools.cost.screen import screen


def main(arguments: list[str] | None = None) -> int:
    """Print the plan and write it as ``results/<scenario>/plan.csv``; returns the exit status."""
    parser = argparse.ArgumentParser(prog="make plan", description=__doc__)
    parser.add_argument("--configfile", type=Path, nargs="+", default=[DEMO], help="several are laid over each other")
    parser.add_argument(
        "--gpu", default="", help=f"a type in {GPUS}; by default cpu for models trained from scratch, else h100-80gb"
    )
    parser.add_argument("--gpus", type=int, default=8, help="GPUs at the same time")
    given = parser.parse_args(arguments)
    try:
        config = load(raw_configuration(given.configfile))
        scratch = all(model.source == "train" for model in config.models.values())
        gpu = gpu_type(given.gpu or ("cpu" if scratch else "h100-80gb"))
        assumptions = Assumptions.on(gpu.name)
        jobs = Jobs(config, assumptions)
        planned = jobs.all()
        table = priced(planned, gpu, assumptions)
        check_gpus(given.gpus, table)
    except UserError as error:
        print(error, file=sys.stderr)
        return 1
    plan = Plan(config)
    table = beside(table, Path(plan.results("benchmarks")))
    gpus = 1 if gpu.one else given.gpus
    path = Path(plan.results("plan.csv"))
    path.parent.mkdir(parents=True, exist_ok=True)
    table.assign(gpu=gpu.name).to_csv(path, index=False)
    print(screen(config.scenario, table, gpu, gpus, wall_hours(table, gpus), assumptions))
    if jobs.rows.guessed:
        print(
            f"\nNot at hand, size assumed: {', '.join(jobs.rows.guessed)}. Give the option `rows`, or put the files there."
        )
    for line in too_large(planned, gpu, assumptions):
        print(f"\n{line}")
    print(f"\nThe table: {path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
