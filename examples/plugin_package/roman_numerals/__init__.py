"""Roman numerals for tenfold."""
