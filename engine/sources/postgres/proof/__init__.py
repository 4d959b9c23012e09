"""What makes two databases equal: row hashes, schema texts, roles, and their comparison."""
