"""Text games of several turns."""
