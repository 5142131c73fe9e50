"""Rules, duplicates and contamination: what a corpus is cleaned of."""
