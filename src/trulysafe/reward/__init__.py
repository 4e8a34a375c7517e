"""The hybrid reward model: fitting, evaluation, baselines, layer analysis."""
