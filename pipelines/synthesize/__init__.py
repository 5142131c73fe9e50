"""Coding problems with generated tests."""
