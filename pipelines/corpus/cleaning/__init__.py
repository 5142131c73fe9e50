"""Rules, duplicates and contamination: what the `clean` stage checks."""
