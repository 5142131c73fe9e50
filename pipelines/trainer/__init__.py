"""The transformers Trainer as the stages use it: its checkpoints and its losses."""
