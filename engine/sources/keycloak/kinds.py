"""The kind of set that a Keycloak makes: one of each realm."""

from __future__ import annotations

from engine.config.settings import Retention
from engine.sources.keycloak.facts import RealmFacts
from engine.sources.kind import Kind

REALM = Kind("realm", "realm", RealmFacts, Retention(days=36500, minimum=3), max_age_hours=25)
"""One realm, kept for ever. It is looked at every quarter of an hour: a day, and an hour for what was in between, is
what a look may be old."""
EXPORT, CHANGES, LOGIN = "realm", "changes", "login"
"""Roles of its files: the export as Keycloak made it, what it changed in words, whose login a drill tries."""
