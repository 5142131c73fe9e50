"""Sharing through the Hugging Face hub: checkpoints with a model card, the pages of runs, and packages of environments."""
