"""Extraction of the final answer from a response."""
