"""The value of an expression: evaluated, compared, simplified."""
