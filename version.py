"""The version of the package. Results record it."""

__version__ = "0.1.0"
