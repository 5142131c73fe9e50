"""Pairwise reward models: trained and measured."""
