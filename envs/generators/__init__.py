"""Generators of problems with a single turn, one kind in each file. A problem URI names one: generate:MODULE:problems."""
