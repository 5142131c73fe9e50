"""Reinforcement learning: the pass-rate filter and GRPO on verl."""
