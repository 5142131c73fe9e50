"""lm-eval tasks, one a YAML file; `avg_at_k.py` holds what they share."""
