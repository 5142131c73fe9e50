"""Parts of the client of OpenAI-compatible servers: requests, replies, errors and keys."""
