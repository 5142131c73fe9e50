"""Environments of other packages here, and environments of this package elsewhere: one neighbour a file, imported when used."""
