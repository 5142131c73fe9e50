"""All code that depends on private names of verl, Ray and transformers. `contract.py` lists these names with their versions."""
