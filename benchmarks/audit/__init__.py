"""How well verifiers judge, measured on pairs whose equality is known."""
