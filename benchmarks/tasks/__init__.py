"""lm-eval tasks, one YAML file each. `avg_at_k.py` has the functions that they share."""
