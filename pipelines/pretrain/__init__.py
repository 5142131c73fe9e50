"""Pretraining in phases, each with its own mixture of sources."""
