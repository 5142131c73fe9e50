"""What a run is doing: its log, its speed, and its state as other processes see it."""
