"""Solutions refined by deliberation, with rebuilt reasoning."""
