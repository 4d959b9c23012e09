"""The client programs: where they are, and how each is called."""
