"""Pretraining in phases with changing mixtures."""
