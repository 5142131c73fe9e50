"""Scores of k draws a problem, and their intervals."""
