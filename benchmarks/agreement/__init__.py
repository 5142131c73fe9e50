"""Agreement of a judge of two responses with people's votes, or with published labels."""
