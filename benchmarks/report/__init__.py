"""Results as tables, pages and comparisons with reported figures."""
