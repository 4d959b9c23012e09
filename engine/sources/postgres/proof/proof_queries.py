"""What a proof asks of a database's catalogue. `search_path` is empty when these run."""

from __future__ import annotations

from engine.sources.postgres.server.sql_files import read_sql

TABLES = read_sql(__name__, "tables")
"""An extension's own table only where the extension says which of its rows are the user's: those are dumped."""
COLUMNS = read_sql(__name__, "columns")
"""Not those that are computed when they are read: no dump reads them, and their expression may fail."""
DOMAINS = """
SELECT a.attrelid, a.attname FROM pg_catalog.pg_attribute a
  JOIN pg_catalog.pg_type t ON t.oid = a.atttypid AND t.typtype = 'd'
 WHERE a.attrelid = ANY (%s) AND a.attnum > 0 AND NOT a.attisdropped
"""
KEYS = """
SELECT i.indrelid, pg_catalog.array_agg(a.attname::text) FROM pg_catalog.pg_index i
  JOIN pg_catalog.pg_attribute a ON a.attrelid = i.indrelid
   AND a.attnum = ANY ((i.indkey::pg_catalog.int2[])[0:i.indnkeyatts - 1])
 WHERE i.indrelid = ANY (%s) AND i.indisprimary AND i.indisvalid
 GROUP BY 1
"""
"""The columns of the primary keys."""
SEQUENCES = """
SELECT n.nspname, c.relname
  FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
 WHERE c.relkind = 'S' AND c.relpersistence <> 't' AND n.nspname !~ '^pg_'
   AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d JOIN pg_catalog.pg_extension e ON e.oid = d.refobjid
        WHERE d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.objid = c.oid AND d.deptype = 'e'
          AND c.oid <> ALL (COALESCE(e.extconfig, '{}')))
 ORDER BY 1, 2
"""
"""An extension's own sequence only where the extension says that it is the user's: that is dumped."""
NEW_SEQUENCES = """
SELECT n.nspname, c.relname, s.seqstart FROM pg_catalog.pg_sequence s
  JOIN pg_catalog.pg_class c ON c.oid = s.seqrelid
  JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
 WHERE pg_catalog.pg_is_in_recovery() AND c.relpersistence = 'u' OR c.oid = ANY (%s)
"""
"""Those that have no value to be read, on a standby, or whose value may not be: pg_dump leaves them as CREATE SEQUENCE makes
them."""
LARGE_OBJECTS = read_sql(__name__, "large_objects")
OWN_LARGE_OBJECTS = read_sql(__name__, "own_large_objects")
"""The same for who may read large objects, and not the catalogue that holds them."""
DATABASE = read_sql(__name__, "database_properties")
VIEWS = """
SELECT c.oid, n.nspname, c.relname, NULL::pg_catalog.oid, NULL::text, NULL::text, ''::text, false
  FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
 WHERE c.relkind = 'm' AND c.relispopulated ORDER BY 2, 3
"""
"""As `TABLES` tells tables: the materialized views that have rows."""
UNPOPULATED = """
SELECT c.oid, n.nspname, c.relname
  FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
 WHERE c.relkind = 'm' AND NOT c.relispopulated ORDER BY 2, 3
"""
