"""Small environments for tests, examples and the quickstart. A model of a million parameters can learn them."""
