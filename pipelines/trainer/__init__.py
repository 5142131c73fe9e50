"""Training with the transformers Trainer: settings, checkpoints and losses."""
