"""Small environments for tests, examples and the quickstart, which a model of a million parameters can learn."""
