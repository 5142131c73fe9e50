"""Verifiers of answers in a given form: text, JSON, regular expressions, SQL."""
