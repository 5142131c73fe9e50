"""Coding problems with synthetic tests."""
