"""Scores of k samples a problem, and their intervals."""
