"""What the stock tools leave out of a dump without a word, or write so that it does not restore.

Each finding is one line for people, with the names and what to do. Nothing is named that is carried.
"""

from __future__ import annotations

from collections.abc import Sequence

import psycopg
from psycopg import sql
from psycopg.rows import TupleRow

from engine.postgres.server import READING_SETTINGS

_SHOWN = 6
_MEMBERS = "WITH member AS (SELECT classid, objid FROM pg_catalog.pg_depend WHERE deptype = 'e') "
"""Before each query: what belongs to an extension comes back with it."""

_OF_DATABASE = (
    (
        "the invalid indexes {} (pg_dump leaves them out: REINDEX or drop them)",
        "SELECT i.indexrelid::pg_catalog.regclass::text FROM pg_catalog.pg_index i"
        " JOIN pg_catalog.pg_class c ON c.oid = i.indrelid AND c.relkind <> 'p'"
        " JOIN pg_catalog.pg_class x ON x.oid = i.indexrelid AND x.relkind = 'i'"
        " WHERE NOT i.indisvalid AND c.relpersistence <> 't' ORDER BY 1",
    ),
    (
        "the rows of the foreign tables {} (they live on another server: back that up)",
        "SELECT ftrelid::pg_catalog.regclass::text FROM pg_catalog.pg_foreign_table ORDER BY 1",
    ),
    (
        "the state of the subscriptions {} (they come back disabled: ALTER SUBSCRIPTION ... ENABLE)",
        "SELECT pg_catalog.quote_ident(subname) FROM pg_catalog.pg_subscription WHERE subenabled AND subdbid ="
        " (SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database()) ORDER BY 1",
    ),
    (
        "the prepared transactions {} (what they changed is not in the dump: COMMIT or ROLLBACK PREPARED)",
        "SELECT pg_catalog.quote_literal(gid) FROM pg_catalog.pg_prepared_xacts"
        " WHERE database = pg_catalog.current_database() ORDER BY 1",
    ),
    (
        "objects added to the system's schemas: {} (pg_dump leaves them out: move them to a schema of their own)",
        """SELECT c.oid::pg_catalog.regclass::text FROM pg_catalog.pg_class c
            WHERE c.oid >= 16384 AND c.relkind NOT IN ('i', 'I', 't')
              AND c.relnamespace IN ('pg_catalog'::pg_catalog.regnamespace, 'information_schema'::pg_catalog.regnamespace)
              AND ('pg_catalog.pg_class'::pg_catalog.regclass, c.oid) NOT IN (SELECT classid, objid FROM member)
           UNION ALL SELECT p.oid::pg_catalog.regprocedure::text FROM pg_catalog.pg_proc p
            WHERE p.oid >= 16384
              AND p.pronamespace IN ('pg_catalog'::pg_catalog.regnamespace, 'information_schema'::pg_catalog.regnamespace)
              AND ('pg_catalog.pg_proc'::pg_catalog.regclass, p.oid) NOT IN (SELECT classid, objid FROM member)
            ORDER BY 1""",
    ),
    (
        "the languages {}, whose handler pg_dump does not dump (the dump does not restore: drop them, or install"
        " them as an extension)",
        """SELECT pg_catalog.quote_ident(l.lanname) FROM pg_catalog.pg_language l
             JOIN pg_catalog.pg_proc p ON p.oid = l.lanplcallfoid
            WHERE l.oid >= 16384
              AND ('pg_catalog.pg_language'::pg_catalog.regclass, l.oid) NOT IN (SELECT classid, objid FROM member)
              AND (p.pronamespace = 'pg_catalog'::pg_catalog.regnamespace
                OR ('pg_catalog.pg_proc'::pg_catalog.regclass, p.oid) IN (SELECT classid, objid FROM member))
            ORDER BY 1""",
    ),
    (
        "that rows pass the checks {}, whose function reads a table (the dump may not restore: use a trigger)",
        r"""SELECT DISTINCT pg_catalog.quote_ident(k.conname) || CASE WHEN k.conrelid <> 0
               THEN ' of ' || k.conrelid::pg_catalog.regclass ELSE '' END
              FROM pg_catalog.pg_constraint k
              JOIN pg_catalog.pg_depend d ON d.classid = 'pg_catalog.pg_constraint'::pg_catalog.regclass
               AND d.objid = k.oid AND d.refclassid = 'pg_catalog.pg_proc'::pg_catalog.regclass
              JOIN pg_catalog.pg_proc p ON p.oid = d.refobjid
             WHERE k.contype = 'c' AND p.oid >= 16384
               AND ('pg_catalog.pg_proc'::pg_catalog.regclass, p.oid) NOT IN (SELECT classid, objid FROM member)
               AND EXISTS (SELECT FROM pg_catalog.pg_class t WHERE t.relkind IN ('r', 'p', 'v', 'm', 'f')
                 AND (EXISTS (SELECT FROM pg_catalog.pg_depend b
                       WHERE b.classid = 'pg_catalog.pg_proc'::pg_catalog.regclass AND b.objid = p.oid
                         AND b.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass AND b.refobjid = t.oid)
                   OR EXISTS (SELECT FROM pg_catalog.regexp_matches(p.prosrc,
                         '\m(?:from|join)\s+(?:only\s+)?(?:"?[\w$]+"?\s*\.\s*)?"?([\w$]+)"?', 'gi') AS m
                       WHERE pg_catalog.lower(m[1]) = pg_catalog.lower(t.relname)))) ORDER BY 1""",
    ),
    (
        "that the constraints {} are not enforced (their triggers are disabled; in a restore they are enforced)",
        "SELECT DISTINCT pg_catalog.quote_ident(k.conname) || ' of ' || k.conrelid::pg_catalog.regclass"
        " FROM pg_catalog.pg_trigger g JOIN pg_catalog.pg_constraint k ON k.oid = g.tgconstraint"
        " WHERE g.tgisinternal AND g.tgenabled <> 'O' AND g.tgparentid = 0 ORDER BY 1",
    ),
    (
        "that the partitions {} are being detached (they come back attached: finish it with DETACH PARTITION ... FINALIZE)",
        "SELECT inhrelid::pg_catalog.regclass::text FROM pg_catalog.pg_inherits i"
        " WHERE pg_catalog.to_jsonb(i)->>'inhdetachpending' = 'true' ORDER BY 1",  # no such column before 14
    ),
    (
        "privileges of {} (pg_dump leaves them out: grant or revoke them again)",
        """SELECT 'the schema information_schema' FROM pg_catalog.pg_namespace n WHERE n.nspname = 'information_schema'
              AND (SELECT pg_catalog.count(*) FROM pg_catalog.aclexplode(n.nspacl) x WHERE x.grantee <> n.nspowner
                    AND (x.grantee, x.privilege_type) <> (0, 'USAGE')) + CASE WHEN EXISTS
                  (SELECT FROM pg_catalog.aclexplode(n.nspacl) x WHERE (x.grantee, x.privilege_type) = (0, 'USAGE'))
                   THEN 0 ELSE 1 END > 0
           UNION ALL SELECT c.oid::pg_catalog.regclass::text FROM pg_catalog.pg_class c
            WHERE c.relnamespace = 'information_schema'::pg_catalog.regnamespace AND c.oid < 16384 AND c.relacl IS NOT NULL
              AND (NOT EXISTS (SELECT FROM pg_catalog.aclexplode(c.relacl) x
                    WHERE (x.grantee, x.privilege_type) = (0, 'SELECT'))
                OR EXISTS (SELECT FROM pg_catalog.aclexplode(c.relacl) x WHERE x.grantee <> c.relowner
                    AND (x.grantee, x.privilege_type) <> (0, 'SELECT'))) AND c.relkind IN ('r', 'v')
           UNION ALL SELECT 'the language ' || pg_catalog.quote_ident(l.lanname) FROM pg_catalog.pg_language l
            WHERE l.lanname IN ('internal', 'c', 'sql') AND l.lanacl IS NOT NULL
           UNION ALL SELECT 'the row type of ' || t.typrelid::pg_catalog.regclass FROM pg_catalog.pg_type t
             JOIN pg_catalog.pg_class c ON c.oid = t.typrelid AND c.relkind <> 'c' WHERE t.typacl IS NOT NULL
           UNION ALL SELECT p.oid::pg_catalog.regprocedure::text FROM pg_catalog.pg_proc p
             JOIN pg_catalog.pg_depend d ON d.classid = 'pg_catalog.pg_proc'::pg_catalog.regclass AND d.objid = p.oid
              AND d.deptype = 'i' AND d.refclassid = 'pg_catalog.pg_type'::pg_catalog.regclass
            WHERE p.proacl IS NOT NULL ORDER BY 1""",
    ),
    (
        "changes of the built-in text search configurations {} (make a copy of your own and change that)",
        """SELECT pg_catalog.quote_ident(c.cfgname) FROM pg_catalog.pg_ts_config c
             JOIN pg_catalog.pg_ts_config_map m ON m.mapcfg = c.oid JOIN pg_catalog.pg_ts_dict d ON d.oid = m.mapdict
            WHERE c.oid < 16384 GROUP BY c.cfgname
           HAVING pg_catalog.count(*) <> 19 OR pg_catalog.bool_or(m.mapseqno <> 1 OR d.dictname <> ALL (CASE
              WHEN c.cfgname = 'simple' OR m.maptokentype NOT IN (1, 2, 10, 11, 16, 17) THEN ARRAY['simple']
              WHEN m.maptokentype IN (2, 10, 17) THEN ARRAY[c.cfgname || '_stem']
              ELSE ARRAY[c.cfgname || '_stem', 'english_stem'] END)) ORDER BY 1""",
    ),
    (
        "that the language {} was dropped (every new database has it: drop it again)",
        "SELECT 'plpgsql' WHERE NOT EXISTS (SELECT FROM pg_catalog.pg_language WHERE lanname = 'plpgsql')",
    ),
    (
        "comments on {} (pg_dump leaves them out)",
        """SELECT pg_catalog.quote_ident(k.conname) || ' of ' || k.conrelid::pg_catalog.regclass
             FROM pg_catalog.pg_description d JOIN pg_catalog.pg_constraint k ON k.oid = d.objoid AND NOT k.conislocal
            WHERE d.classoid = 'pg_catalog.pg_constraint'::pg_catalog.regclass
           UNION ALL SELECT pg_catalog.quote_ident(g.tgname) || ' of ' || g.tgrelid::pg_catalog.regclass
             FROM pg_catalog.pg_description d JOIN pg_catalog.pg_trigger g ON g.oid = d.objoid
            WHERE d.classoid = 'pg_catalog.pg_trigger'::pg_catalog.regclass AND g.tgparentid <> 0
           UNION ALL SELECT 'the rule of ' || r.ev_class::pg_catalog.regclass
             FROM pg_catalog.pg_description d JOIN pg_catalog.pg_rewrite r ON r.oid = d.objoid AND r.rulename = '_RETURN'
            WHERE d.classoid = 'pg_catalog.pg_rewrite'::pg_catalog.regclass
           UNION ALL SELECT t.oid::pg_catalog.regtype::text
             FROM pg_catalog.pg_description d JOIN pg_catalog.pg_type t ON t.oid = d.objoid AND t.oid >= 16384
              AND (t.typtype = 'm' OR t.typcategory = 'A'
                OR EXISTS (SELECT FROM pg_catalog.pg_class c WHERE c.oid = t.typrelid AND c.relkind <> 'c'))
            WHERE d.classoid = 'pg_catalog.pg_type'::pg_catalog.regclass
           UNION ALL SELECT 'the extension plpgsql' FROM pg_catalog.pg_extension WHERE extname = 'plpgsql'
              AND pg_catalog.obj_description(oid, 'pg_extension') IS DISTINCT FROM 'PL/pgSQL procedural language'
            ORDER BY 1""",
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
    (
        "the server's configuration: {} (a restore does not set it; 000-globals holds it as comments)",
        """SELECT f.name FROM (SELECT DISTINCT ON (name) name, setting FROM pg_catalog.pg_file_settings
             ORDER BY name, seqno DESC) AS f
            WHERE pg_catalog.lower(f.name) NOT IN ('datestyle', 'timezone', 'log_timezone', 'default_text_search_config',
                'dynamic_shared_memory_type', 'autovacuum_worker_slots') AND f.name !~ '^lc_'
              AND (f.name, f.setting) NOT IN (('max_connections', '100'), ('shared_buffers', '128MB'),
                ('max_wal_size', '1GB'), ('min_wal_size', '80MB'))
           UNION ALL SELECT 'pg_hba.conf' WHERE EXISTS (SELECT FROM pg_catalog.pg_hba_file_rules h
             WHERE h.error IS NULL AND (h.database NOT IN ('{all}', '{replication}') OR h.user_name <> '{all}'
                OR h.address NOT IN ('127.0.0.1', '::1')))
           UNION ALL SELECT 'pg_ident.conf' WHERE EXISTS (SELECT FROM pg_catalog.pg_hba_file_rules h
             WHERE pg_catalog.array_to_string(h.options, ' ') ~ 'map=')""",
    ),
)
"""What initdb itself writes into the files is not told: every server has it."""


def left_out_of_dump(connection: psycopg.Connection[TupleRow]) -> list[str]:
    """What a dump of this database lacks, in its own set and in the cluster's."""
    return [*_told(connection, _OF_DATABASE), *_rows_of_extensions(connection)]


def left_out_of_archive(connection: psycopg.Connection[TupleRow]) -> list[str]:
    """What more a set of this database alone lacks, or asks of a restore with stock tools."""
    return [*_told(connection, (_TABLESPACES_USED,)), *_options_to_restore_with(connection)]


def left_out_of_server(connection: psycopg.Connection[TupleRow]) -> tuple[str, ...]:
    """What a restore of the whole server does not bring back."""
    return tuple(_told(connection, _OF_SERVER))


def _told(connection: psycopg.Connection[TupleRow], findings: Sequence[tuple[str, str]]) -> list[str]:
    found = [
        (text, [row[0] for row in connection.execute((_MEMBERS + query).encode())])
        for text, query in findings
    ]
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
        " AND NOT EXISTS (SELECT FROM pg_catalog.pg_extension e WHERE c.oid = ANY (e.extconfig)) ORDER BY 1, 2"
    ).fetchall()
    exists = sql.SQL("SELECT EXISTS (SELECT FROM ONLY {})").format
    filled = [
        ".".join(place)
        for place in candidates
        if connection.execute(exists(sql.Identifier(*place))).fetchall()[0][0]
    ]
    text = "the rows of the extensions' own tables {} (pg_dump leaves them to CREATE EXTENSION)"
    return [text.format(_listed(filled))] if filled else []


def _options_to_restore_with(connection: psycopg.Connection[TupleRow]) -> list[str]:
    """An archive cannot carry these: what the database sets would refuse it, or read its values differently."""
    rows = connection.execute(
        "SELECT u.item FROM pg_catalog.pg_db_role_setting s"
        " CROSS JOIN LATERAL pg_catalog.unnest(s.setconfig) AS u(item) WHERE s.setrole = 0 AND s.setdatabase ="
        " (SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database())"
    )
    is_set = {name.lower() for name, _, _ in (row[0].partition("=") for row in rows)}
    if connection.execute(
        "SELECT 1 FROM pg_catalog.pg_attribute WHERE atttypid = 'pg_catalog.money'::pg_catalog.regtype"
        " AND attrelid >= 16384 LIMIT 1"
    ).fetchone():
        is_set.add("lc_monetary")
    if connection.execute(
        "SELECT 1 FROM pg_catalog.pg_event_trigger WHERE evtenabled = 'O'"
        " AND evtevent IN ('ddl_command_start', 'ddl_command_end', 'login') LIMIT 1"
    ).fetchone():
        is_set.add("session_replication_role")
    harmless = {"datestyle"}  # pg_dump writes ISO dates, which every style reads
    needed = [name for name in READING_SETTINGS if name.lower() in is_set - harmless]
    options = " ".join(f"-c {name}={READING_SETTINGS[name]}" for name in needed)
    return [f'with pg_restore alone, set PGOPTIONS="{options}" (it sets or needs that)'] if needed else []
