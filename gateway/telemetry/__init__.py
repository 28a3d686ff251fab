"""Metrics, logs and traces: their names and labels stand here and nowhere else."""
