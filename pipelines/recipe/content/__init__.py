"""The content of a recipe: settings of the user, repeated parts, references between stages, and the tasks that are trained."""
