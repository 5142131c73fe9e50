"""Programs that measure speed and memory, most of them as ratios to a named baseline in the same run."""
