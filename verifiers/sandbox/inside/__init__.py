"""The warm process and its children. This code needs only the standard library and, if it is installed, landlock."""
