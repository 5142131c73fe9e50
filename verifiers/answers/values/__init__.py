"""Values of expressions: evaluation, comparison, and checks for unfinished computation."""
