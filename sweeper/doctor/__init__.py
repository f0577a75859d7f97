"""`sweep doctor`: checks of this host, each with its fix."""
