"""Programs beside the workflow, each started with `python -m`."""
