"""All code that depends on private names of verl and Ray. `contract.py` lists these names with their versions."""
