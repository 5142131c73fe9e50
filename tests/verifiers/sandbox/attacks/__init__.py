"""Programs that try to get out, to use the machine up, or to be paid for nothing. Text, run in the sandbox only."""
