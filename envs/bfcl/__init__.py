"""Categories of the Berkeley Function-Calling Leaderboard (BFCL-V4) with several turns."""
