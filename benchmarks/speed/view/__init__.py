"""The speed of `tenfold view` (`__main__.py`)."""
