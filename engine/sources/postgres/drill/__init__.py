"""A stored set, restored into a scratch server and compared."""
