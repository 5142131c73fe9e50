"""What runs inside the sandbox's walls, with the standard library alone."""
