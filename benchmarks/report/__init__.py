"""Results as tables, pages and comparisons with published scores."""
