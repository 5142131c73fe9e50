"""The speed of `tenfold serve`."""
