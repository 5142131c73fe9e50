"""The grammar of answers: text and LaTeX to tokens, tokens to a tree."""
