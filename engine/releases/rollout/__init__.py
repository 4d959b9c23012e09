"""Carry out a plan: its parts, each of which can be done again and undone, and the journal that remembers them."""
