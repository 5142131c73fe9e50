"""Training and measurement of pairwise reward models."""
