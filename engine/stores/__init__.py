"""Where bytes rest: a local folder or S3."""
