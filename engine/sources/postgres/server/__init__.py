"""A running server: sessions, the backup lock, what its catalogue says."""
