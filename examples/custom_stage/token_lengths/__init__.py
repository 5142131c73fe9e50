"""A stage for tenfold that measures problems in tokens."""
