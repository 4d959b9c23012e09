"""TLS certificates of platforms: issued or renewed, tried, installed, and stored."""
