"""Sources of problems: a URI names a sequence of problems. Each row format has its own file."""
