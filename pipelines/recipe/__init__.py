"""Recipes: read, check, run, resume, record and report their stages."""
