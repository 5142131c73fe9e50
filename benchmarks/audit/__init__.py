"""Error rates of verifiers, measured on labelled pairs of a gold answer and a response."""
