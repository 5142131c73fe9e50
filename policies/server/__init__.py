"""Parts of the client of OpenAI-compatible servers: requests, replies, errors and keys. Also the Hugging Face hub."""
