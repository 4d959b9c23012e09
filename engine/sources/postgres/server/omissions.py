"""What the stock tools leave out of a dump without a word, or write so that it does not restore.

Each finding is one line for people, with the names and what to do. Nothing is named that is carried.
"""

from __future__ import annotations

from collections.abc import Sequence

import psycopg
from psycopg import sql
from psycopg.rows import TupleRow

from engine.sources.postgres.server.raw_text import run
from engine.sources.postgres.server.restore_options import options_to_restore_with
from engine.sources.postgres.server.rights import is_superuser
from engine.sources.postgres.server.sql_files import read_sql

_SHOWN = 6
_MEMBERS = "WITH RECURSIVE member AS (SELECT classid, objid FROM pg_catalog.pg_depend WHERE deptype = 'e') "
"""Before each query: what belongs to an extension comes back with it."""
_BODIES = read_sql(__name__, "omitted_bodies")
"""What reads the clock or the session: `builtin` functions, and those of one's own (`clock`), also through functions that
they call, as far as their text shows it."""

_OF_DATABASE = (
    (
        "the invalid indexes {} (pg_dump leaves them out: REINDEX or drop them)",
        "SELECT pg_catalog.concat(i.indexrelid::pg_catalog.regclass) FROM pg_catalog.pg_index i"
        " JOIN pg_catalog.pg_class c ON c.oid = i.indrelid AND c.relkind <> 'p'"
        " JOIN pg_catalog.pg_class x ON x.oid = i.indexrelid AND x.relkind = 'i'"
        " WHERE NOT i.indisvalid AND c.relpersistence <> 't' ORDER BY 1",
    ),
    (
        "the rows of the foreign tables {} (they live on another server: back that up)",
        "SELECT pg_catalog.concat(ftrelid::pg_catalog.regclass) FROM pg_catalog.pg_foreign_table ORDER BY 1",
    ),
    (
        "the prepared transactions {} (what they changed is not in the dump: COMMIT or ROLLBACK PREPARED)",
        "SELECT pg_catalog.quote_literal(gid) FROM pg_catalog.pg_prepared_xacts"
        " WHERE database = pg_catalog.current_database() ORDER BY 1",
    ),
    (
        "what is unlogged: {} (a standby has no rows and values of these: back up the primary)",
        "SELECT pg_catalog.concat(c.oid::pg_catalog.regclass) FROM pg_catalog.pg_class c"
        " WHERE c.relpersistence = 'u' AND c.relkind IN ('r', 'S') AND pg_catalog.pg_is_in_recovery() ORDER BY 1",
    ),
    (
        "objects added to the system's schemas: {} (pg_dump leaves them out: move them to a schema of their own)",
        read_sql(__name__, "omitted_system_objects"),
    ),
    (
        "the languages {}, whose handler pg_dump does not dump (the dump does not restore: drop them, or install"
        " them as an extension)",
        read_sql(__name__, "omitted_languages"),
    ),
    (
        "that rows pass the checks {}, whose function reads a table (the dump may not restore: use a trigger)",
        read_sql(__name__, "omitted_checks"),
    ),
    (
        "that rows pass the checks {}, which depend on the time or the session of the restore (it may refuse rows that are"
        " stored: use a trigger, or restore with --despite-errors)",
        _BODIES + read_sql(__name__, "omitted_time"),
    ),
    (
        "the values of {}, whose function reads the clock, the session or a table (a restore computes them again: what it"
        " reads must be an argument)",
        _BODIES + read_sql(__name__, "omitted_functions"),
    ),
    (
        "the contents of the materialized views {}, which read the clock or the session (a restore computes them again)",
        _BODIES + read_sql(__name__, "omitted_views"),
    ),
    (
        "that the functions {} find their tables (a materialized view is refreshed without a search_path: give the function"
        " one, or name the schema in it)",
        read_sql(__name__, "omitted_paths"),
    ),
    (
        "the contents of the materialized views {}, whose owner may not read what they are made of (a restore cannot"
        " refresh them: grant it)",
        read_sql(__name__, "omitted_rights"),
    ),
    (
        "that the constraints {} are not enforced (their triggers are disabled; in a restore they are enforced)",
        "SELECT DISTINCT pg_catalog.quote_ident(k.conname) || ' of ' || pg_catalog.concat(k.conrelid::pg_catalog.regclass)"
        " FROM pg_catalog.pg_trigger g JOIN pg_catalog.pg_constraint k ON k.oid = g.tgconstraint"
        " WHERE g.tgisinternal AND g.tgenabled <> 'O' AND g.tgparentid = 0 ORDER BY 1",
    ),
    (
        "that the partitions {} are being detached (they come back attached: finish it with DETACH PARTITION ... FINALIZE)",
        "SELECT pg_catalog.concat(inhrelid::pg_catalog.regclass) FROM pg_catalog.pg_inherits i"
        " WHERE pg_catalog.to_jsonb(i)->>'inhdetachpending' = 'true' ORDER BY 1",  # no such column before 14
    ),
    (
        "privileges of {} (pg_dump leaves them out: grant or revoke them again)",
        read_sql(__name__, "omitted_privileges"),
    ),
    (
        "changes of the built-in text search configurations {} (make a copy of your own and change that)",
        read_sql(__name__, "omitted_text_search"),
    ),
    (
        "that the language {} was dropped (every new database has it: drop it again)",
        "SELECT 'plpgsql' WHERE NOT EXISTS (SELECT FROM pg_catalog.pg_language WHERE lanname = 'plpgsql')",
    ),
    (
        "comments on {} (pg_dump leaves them out)",
        read_sql(__name__, "omitted_comments"),
    ),
    (
        "silence of the event triggers {}, which fire when a restore refreshes materialized views (they are ENABLE"
        " ALWAYS or REPLICA)",
        "SELECT pg_catalog.quote_ident(evtname) FROM pg_catalog.pg_event_trigger WHERE evtenabled IN ('A', 'R')"
        " AND evtevent IN ('ddl_command_start', 'ddl_command_end')"
        " AND EXISTS (SELECT FROM pg_catalog.pg_class WHERE relkind = 'm' AND relispopulated) ORDER BY 1",
    ),
    (
        "that the schema {} was dropped (it comes back, empty: drop it again)",
        "SELECT 'public' WHERE NOT EXISTS (SELECT FROM pg_catalog.pg_namespace WHERE nspname = 'public')",
    ),
    (
        "a session's role: the database sets {} (grants of other roles do not restore: ALTER DATABASE ... RESET role)",
        "SELECT u.item FROM pg_catalog.pg_db_role_setting s CROSS JOIN LATERAL pg_catalog.unnest(s.setconfig) AS u(item)"
        " WHERE s.setrole = 0 AND pg_catalog.starts_with(u.item, 'role=') AND s.setdatabase ="
        " (SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database())",
    ),
)
_TABLESPACES_USED = (
    "the tablespaces {} (what is in them is restored into the default one)",
    "SELECT DISTINCT pg_catalog.quote_ident(s.spcname) FROM pg_catalog.pg_tablespace s WHERE s.oid IN"
    " (SELECT reltablespace FROM pg_catalog.pg_class UNION SELECT dattablespace FROM pg_catalog.pg_database"
    " WHERE datname = pg_catalog.current_database()) AND s.spcname NOT IN ('pg_default', 'pg_global') ORDER BY 1",
)
_OF_SERVER = (
    (
        "the tablespaces {} (what is in them is restored into the default one)",
        "SELECT pg_catalog.quote_ident(spcname) FROM pg_catalog.pg_tablespace"
        " WHERE spcname NOT IN ('pg_default', 'pg_global') ORDER BY 1",
    ),
    (
        "the replication slots {} (make them again on the restored server)",
        "SELECT pg_catalog.quote_ident(slot_name) FROM pg_catalog.pg_replication_slots WHERE NOT temporary ORDER BY 1",
    ),
    (
        "the replication origins {} (make them again on the restored server)",
        "SELECT pg_catalog.quote_ident(roname) FROM pg_catalog.pg_replication_origin"
        " WHERE roname !~ '^pg_[0-9]+$' ORDER BY 1",
    ),
    (
        "settings and comments of the built-in roles {} (pg_dumpall leaves them out)",
        "SELECT pg_catalog.quote_ident(r.rolname) FROM pg_catalog.pg_roles r WHERE r.rolname ~ '^pg_' AND"
        " (EXISTS (SELECT FROM pg_catalog.pg_db_role_setting s WHERE s.setrole = r.oid AND s.setdatabase = 0)"
        " OR pg_catalog.shobj_description(r.oid, 'pg_authid') IS NOT NULL) ORDER BY 1",
    ),
)
_CONFIGURATION = (
    (
        "the server's configuration: {} (a restore does not set it; 000-globals holds it as comments)",
        read_sql(__name__, "omitted_configuration"),
    ),
)
"""What initdb itself writes into the files is not told: every server has it."""
_UNREADABLE_CONFIGURATION = (
    "the server's configuration files (only a superuser may read them: see what the service has set)"
)
_PASSWORDS = (
    (
        "the passwords of {} (this role may not read them: give them anew, `restore` says which)",
        "SELECT pg_catalog.quote_ident(rolname) FROM pg_catalog.pg_roles WHERE rolcanlogin ORDER BY 1",
    ),
)
_OF_A_SUPERUSER = (
    (
        "the state of the subscriptions {} (they come back disabled: ALTER SUBSCRIPTION ... ENABLE)",
        "SELECT pg_catalog.quote_ident(subname) FROM pg_catalog.pg_subscription WHERE subenabled AND subdbid ="
        " (SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database()) ORDER BY 1",
    ),
)
_OF_ANOTHER = (
    (
        "the subscriptions {} (pg_dump leaves them out for who is no superuser: make them again)",
        "SELECT pg_catalog.quote_ident(subname) FROM pg_catalog.pg_subscription WHERE subdbid ="
        " (SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database()) ORDER BY 1",
    ),
    (
        "the options (a password may be among them) of the user mappings {} (this role may not read them: ALTER USER"
        " MAPPING ... OPTIONS)",
        "SELECT pg_catalog.concat(pg_catalog.quote_ident(usename), ' for ', pg_catalog.quote_ident(srvname))"
        " FROM pg_catalog.pg_user_mappings WHERE umoptions IS NULL ORDER BY 1",
    ),
)
"""What pg_dump leaves out for who is no superuser."""


def omitted_from_dump(connection: psycopg.Connection[TupleRow]) -> list[str]:
    """What a dump of this database lacks, in its own set and in the cluster's."""
    more = _OF_A_SUPERUSER if is_superuser(connection) else _OF_ANOTHER
    return [*_found(connection, (*_OF_DATABASE, *more)), *_rows_of_extensions(connection)]


def omitted_from_archive(connection: psycopg.Connection[TupleRow]) -> list[str]:
    """What more a set of this database alone lacks, or asks of a restore with stock tools."""
    return [*_found(connection, (_TABLESPACES_USED,)), *options_to_restore_with(connection)]


def omitted_from_roles(connection: psycopg.Connection[TupleRow]) -> tuple[str, ...]:
    """What every set lacks whose roles' passwords could not be read."""
    return tuple(_found(connection, _PASSWORDS))


def omitted_from_server(connection: psycopg.Connection[TupleRow]) -> tuple[str, ...]:
    """What a restore of the whole server does not bring back."""
    found = _found(connection, _OF_SERVER)
    try:
        return (*found, *_found(connection, _CONFIGURATION))
    except psycopg.errors.InsufficientPrivilege:
        return (*found, _UNREADABLE_CONFIGURATION)


def _found(connection: psycopg.Connection[TupleRow], findings: Sequence[tuple[str, str]]) -> list[str]:
    found = [(text, [row[0] for row in connection.execute((_MEMBERS + query).encode())]) for text, query in findings]
    return [text.format(_listed(names)) for text, names in found if names]


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more


def _rows_of_extensions(connection: psycopg.Connection[TupleRow]) -> list[str]:
    """Tables that belong to an extension which does not say which rows are the user's."""
    candidates = connection.execute(
        "SELECT n.nspname, c.relname FROM pg_catalog.pg_depend d"
        " JOIN pg_catalog.pg_class c ON c.oid = d.objid AND c.relkind = 'r'"
        " JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace"
        " WHERE d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.deptype = 'e'"
        " AND NOT EXISTS (SELECT FROM pg_catalog.pg_extension e WHERE c.oid = ANY (e.extconfig))"
        " AND pg_catalog.has_schema_privilege(n.oid, 'USAGE') AND pg_catalog.has_table_privilege(c.oid, 'SELECT')"
        " ORDER BY 1, 2"
    ).fetchall()
    exists = sql.SQL("SELECT EXISTS (SELECT FROM ONLY {})").format
    filled = [
        ".".join(place) for place in candidates if run(connection, exists(sql.Identifier(*place))).fetchall()[0][0]
    ]
    text = "the rows of the extensions' own tables {} (pg_dump leaves them to CREATE EXTENSION)"
    return [text.format(_listed(filled))] if filled else []
