"""A stored set back into a server."""
