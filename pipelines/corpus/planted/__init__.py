"""Documents with known faults, made for tests and examples of the cleaning stages."""
