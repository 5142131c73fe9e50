"""Recipes: read, checked, run, resumed, recorded, reported."""
