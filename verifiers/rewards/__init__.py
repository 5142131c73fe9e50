"""The user's reward functions: how they are called, rewards of several parts, and built-in parts for the form of a response."""
