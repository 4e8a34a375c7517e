"""``make cluster-check``: does the SLURM profile fit this cluster? One screen, with what to mend."""
