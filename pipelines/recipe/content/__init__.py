"""The content of a recipe: settings of the user, repeated stages, references between stages, and the tasks that are trained."""
