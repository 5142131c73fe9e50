"""Refinement of solutions by critique and revision, with reconstructed reasoning."""
