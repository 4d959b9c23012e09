"""platform-ops.toml: the servers and stores, described once."""
