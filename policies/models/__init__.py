"""Configurations of models (JSON), adapters, files of other formats, a tokenizer trained on texts, the cache of checkpoints."""
