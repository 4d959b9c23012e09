"""A Kubernetes namespace, driven: builders and judgements are pure, `connection.py` is what calls."""
