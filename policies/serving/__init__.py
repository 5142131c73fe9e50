"""A policy as a server with OpenAI's API."""
