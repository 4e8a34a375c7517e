"""Answers of policies, and every number computed from their verdicts."""
