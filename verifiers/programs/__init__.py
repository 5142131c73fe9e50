"""Finds and selects the program in a response, and reads and compares the tests of a problem."""
