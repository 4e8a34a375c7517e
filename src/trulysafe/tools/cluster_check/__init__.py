"""Does the SLURM profile fit this cluster? ``make cluster-check`` on a login node says so in one screen, and what to change.

It asks SLURM itself (``sinfo``, ``scontrol``, ``sbatch --test-only``, which submits nothing) and looks at the file systems. It says
whether there is a token for gated models, never what it is.
"""
