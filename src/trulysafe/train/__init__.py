"""What one run of training does: its data, its processes, its memory, its checkpoints."""
