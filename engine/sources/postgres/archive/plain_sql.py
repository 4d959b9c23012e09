"""What stands in a cluster set's plain SQL beside pg_restore's own."""

from __future__ import annotations

from engine.sources.postgres.server.session_settings import READING_SETTINGS

SESSION_SETTINGS = "".join(f"SET {name} = '{value}';\n" for name, value in READING_SETTINGS.items()).encode()


def body_marker(set_id: str) -> bytes:
    """The line between what makes the database and what is in it; a restore under a new name starts there."""
    return f"-- platform-ops: the contents begin here ({set_id})\n".encode()
