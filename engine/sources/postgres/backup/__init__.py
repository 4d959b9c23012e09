"""One snapshot of a database, stored."""
