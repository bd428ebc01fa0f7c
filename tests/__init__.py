"""A package of its own, so that a package of the same name that some library brings along is not taken for it."""
