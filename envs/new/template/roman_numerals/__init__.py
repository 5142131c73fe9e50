"""An environment for tenfold: numbers as Roman numerals."""
