"""Which words of a response are its answer."""
