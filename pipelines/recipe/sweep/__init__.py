"""Sweeps: a recipe run once for each seed and each combination of settings, with a table over the seeds at the end."""
