"""Dump, compress, encrypt, hash, store: bytes in flight, in bounded memory."""
