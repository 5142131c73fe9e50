"""Generated documents with known faults, and a report that measures the `clean` stage with them."""
