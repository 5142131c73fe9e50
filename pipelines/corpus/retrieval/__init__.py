"""Hybrid search of documents by words and vectors, with seeds of known quality as queries."""
