"""Scores of documents on 20 dimensions, by an annotator and by a model distilled from it."""
