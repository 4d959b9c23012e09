"""A setting as PostgreSQL stores it for a database or a role, `name=value`, as SQL that sets it again."""

from __future__ import annotations

import re

from psycopg import sql

_LISTS = (
    "local_preload_libraries",
    "search_path",
    "session_preload_libraries",
    "shared_preload_libraries",
    "temp_tablespaces",
    "unix_socket_directories",
)
"""Settings that are a list of quoted names (variable_is_guc_list_quote in pg_dump's source)."""
_ITEM = re.compile(r'"((?:[^"]|"")*)"|([^\s,"][^,"]*)')


def setting_sql(whose: sql.Composable, assignment: str) -> sql.Composed:
    """`whose` (ALTER DATABASE ..., ALTER ROLE ...) followed by SET name TO value."""
    name, _, value = assignment.partition("=")
    items = [value]
    if name.lower() in _LISTS:
        found = _ITEM.findall(value)
        items = [plain.strip() or quoted.replace('""', '"') for quoted, plain in found] or [""]
    shown = sql.SQL(", ").join(sql.Literal(item) for item in items)
    return sql.SQL("{} SET {} TO {}").format(whose, sql.Identifier(*name.split(".")), shown)
