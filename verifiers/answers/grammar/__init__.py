"""Text and LaTeX to tokens, and tokens to a tree."""
