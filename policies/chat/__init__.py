"""Conversations as tokens: the chat template, declarations of functions, and the turns of an episode."""
