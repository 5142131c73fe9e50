"""Dual preference distillation (DPD): sampling of response pairs, and training on them."""
