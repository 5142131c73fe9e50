"""Judges responses to LiveBench's questions (White et al., 2024) by the rules of its own code."""
