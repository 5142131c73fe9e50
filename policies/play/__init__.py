"""Playing of episodes: a single game, and many games at once while the policy samples."""
