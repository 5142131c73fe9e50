"""Starts and supervises training on several processes, GPUs and nodes."""
