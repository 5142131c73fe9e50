"""Asynchronous rollouts: verl samples the batch of the next step while it trains on the batch of the current step."""
