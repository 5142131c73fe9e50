"""Documents found by words and vectors, compared with seeds of known quality."""
