"""Distillation on pairs of responses (DPD)."""
