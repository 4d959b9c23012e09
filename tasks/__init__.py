"""Verbs: one retryable step each. A task opens what a block names and makes one call into the engine."""
