"""The rows of the money: written by the group writer, read by everybody else."""
