"""Training data on disk: shards that are written once, part by part, and read by number."""
