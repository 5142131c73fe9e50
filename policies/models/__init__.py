"""Configurations of models (JSON), and a tokenizer that is trained on texts."""
