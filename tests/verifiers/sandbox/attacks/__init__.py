"""Programs that try to escape, to exhaust the machine, or to score without a solution. They run only in the sandbox."""
