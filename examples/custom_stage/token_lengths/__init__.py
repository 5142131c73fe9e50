"""A stage for tenfold that counts the tokens of problems."""
