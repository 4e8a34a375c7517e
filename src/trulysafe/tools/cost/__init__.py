"""What a configuration costs before it is run: jobs, GPU-hours, disk, wall time (`make plan`); no cluster, no torch."""
