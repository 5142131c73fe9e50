"""A model behind an OpenAI-compatible server: requests, replies, errors and keys."""
