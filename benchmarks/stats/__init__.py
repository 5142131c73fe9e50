"""Scores of k samples per problem, and their intervals."""
