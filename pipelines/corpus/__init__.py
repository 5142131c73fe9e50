"""From raw text to tokens that are worth training on: gathered, cleaned, tagged, retrieved, selected, mixed."""
