"""What a configuration costs before it is run: jobs, GPU-hours, disk and wall time (`make plan`), without cluster and torch."""
