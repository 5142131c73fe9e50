"""Programs in the sandbox. `services.py` and `memory_services.py` send their source; they import nothing of tenfold."""
