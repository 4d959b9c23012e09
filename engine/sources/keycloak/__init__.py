"""Realms of a Keycloak: asked whether they changed, exported, proven by an import, restored."""
