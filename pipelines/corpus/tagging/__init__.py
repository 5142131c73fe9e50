"""Quality scores of documents on 20 dimensions, by an annotator and by a tagger distilled from it."""
