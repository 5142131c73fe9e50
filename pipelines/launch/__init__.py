"""Trainings over processes, GPUs and nodes, started and supervised."""
