"""What leans on private parts of verl and Ray; tests say which names of which version."""
