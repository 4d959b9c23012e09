"""The images of a platform's last good releases, each layer stored once: a host that is lost needs no registry."""
