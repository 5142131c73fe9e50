"""Experiment trackers of a run: a process of its own reads the run's files and sends figures, pictures and tables."""
