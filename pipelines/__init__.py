"""Recipes of stages that train and measure policies."""
