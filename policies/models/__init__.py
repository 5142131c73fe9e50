"""Configurations of models (JSON), a tokenizer that is trained on texts, and the cache of created checkpoints."""
