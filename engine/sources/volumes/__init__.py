"""Docker's and Podman's volumes: streamed as tar, proven by their tree, restored under a name of their own or in place."""
