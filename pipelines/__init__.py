"""How a policy is made: recipes of stages."""
