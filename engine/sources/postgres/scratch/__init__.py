"""Throw-away servers that nobody reaches."""
