"""What an operation does in which order, stated once: a shell carries the steps out, and so does Prefect."""
