"""Programs in a response: found, chosen, and the tests that they have to pass."""
