"""Calls of tools and functions, as models write them."""
