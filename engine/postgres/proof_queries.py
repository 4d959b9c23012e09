"""What a proof asks of a database's catalogue. `search_path` is empty when these run."""

from __future__ import annotations

BLOCK = 1 << 20

TABLES = """
SELECT c.oid, n.nspname, c.relname, root.oid, root.nspname, root.relname, COALESCE(x.condition, '')
  FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
  LEFT JOIN LATERAL (SELECT r.oid, rn.nspname, r.relname FROM pg_catalog.pg_partition_ancestors(c.oid) AS a
          JOIN pg_catalog.pg_class r ON r.oid = a.relid AND NOT r.relispartition
          JOIN pg_catalog.pg_namespace rn ON rn.oid = r.relnamespace
         WHERE EXISTS (SELECT FROM pg_catalog.pg_partition_ancestors(c.oid) AS h
               JOIN pg_catalog.pg_partitioned_table p ON p.partrelid = h.relid AND p.partstrat = 'h')) AS root ON true
  LEFT JOIN LATERAL (SELECT true AS member, k.condition FROM pg_catalog.pg_depend d
          JOIN pg_catalog.pg_extension e ON e.oid = d.refobjid
          LEFT JOIN LATERAL (SELECT e.extcondition[at] AS condition
               FROM pg_catalog.generate_subscripts(e.extconfig, 1) AS at WHERE e.extconfig[at] = c.oid) AS k ON true
         WHERE d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.objid = c.oid AND d.deptype = 'e') AS x ON true
 WHERE c.relkind = 'r' AND c.relpersistence <> 't'
   AND n.nspname <> 'information_schema' AND n.nspname !~ '^pg_'
   AND (x.member IS NULL OR x.condition IS NOT NULL)
 ORDER BY c.relpages DESC, 2, 3
"""
"""An extension's own table only where the extension says which of its rows are the user's: those are dumped."""
COLUMNS = """
WITH RECURSIVE base(attrelid, attname, typ) AS (
    SELECT a.attrelid, a.attname, a.atttypid FROM pg_catalog.pg_attribute a
     WHERE a.attrelid = ANY (%s) AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated <> 'v'
    UNION ALL
    SELECT b.attrelid, b.attname, t.typbasetype FROM base b
      JOIN pg_catalog.pg_type t ON t.oid = b.typ AND t.typtype = 'd')
SELECT b.attrelid, b.attname, t.typname,
       t.oid < 10000 AND t.typtype = 'b' AND t.typcategory NOT IN ('A', 'G') AND t.typsend <> 0 AND t.typname !~ '^reg'
  FROM base b JOIN pg_catalog.pg_type t ON t.oid = b.typ
 WHERE t.typtype <> 'd'
 ORDER BY b.attrelid, b.attname COLLATE "C"
"""
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
LARGE_OBJECTS = f"""
SELECT m.oid::pg_catalog.int8, pg_catalog.pg_get_userbyid(m.lomowner),
       (SELECT pg_catalog.string_agg(x.item, ' ' ORDER BY x.item COLLATE "C")
          FROM pg_catalog.unnest(COALESCE(m.lomacl, pg_catalog.acldefault('L', m.lomowner))::text[]) AS x(item)),
       COALESCE(pg_catalog.obj_description(m.oid, 'pg_largeobject'), ''), COALESCE(s.size, 0),
       COALESCE((SELECT pg_catalog.sum(pg_catalog.hash_record_extended(ROW(pg_catalog.record_send(
            ROW(o, pg_catalog.lo_get(m.oid, o, {BLOCK})))), 0))
          FROM pg_catalog.generate_series(0::int8, s.size - 1, {BLOCK}) AS o), 0)
  FROM pg_catalog.pg_largeobject_metadata m
  LEFT JOIN LATERAL (SELECT l.pageno::int8 * 2048 + pg_catalog.length(l.data) AS size
       FROM pg_catalog.pg_largeobject l WHERE l.loid = m.oid ORDER BY l.pageno DESC LIMIT 1) s ON true
 ORDER BY 1
"""  # noqa: S608 - only a constant goes in
DATABASE = """
SELECT pg_catalog.pg_get_userbyid(d.datdba), pg_catalog.pg_encoding_to_char(d.encoding), d.datcollate, d.datctype,
       COALESCE(pg_catalog.to_jsonb(d)->>'datlocprovider', 'c'),
       COALESCE(pg_catalog.to_jsonb(d)->>'datlocale', pg_catalog.to_jsonb(d)->>'daticulocale', ''),
       COALESCE(pg_catalog.to_jsonb(d)->>'daticurules', ''),
       d.datconnlimit, d.datistemplate, COALESCE(pg_catalog.shobj_description(d.oid, 'pg_database'), ''),
       (SELECT COALESCE(pg_catalog.array_agg(x.item ORDER BY x.item COLLATE "C"), '{}')
          FROM pg_catalog.unnest(COALESCE(d.datacl, pg_catalog.acldefault('d', d.datdba))::text[]) AS x(item)),
       (SELECT COALESCE(pg_catalog.array_agg(ARRAY[COALESCE(r.rolname::text, ''), u.item] ORDER BY r.rolname COLLATE "C", u.item COLLATE "C"), '{}')
          FROM pg_catalog.pg_db_role_setting s LEFT JOIN pg_catalog.pg_roles r ON r.oid = s.setrole
          CROSS JOIN LATERAL pg_catalog.unnest(s.setconfig) AS u(item) WHERE s.setdatabase = d.oid)
  FROM pg_catalog.pg_database d WHERE d.datname = pg_catalog.current_database()
"""
UNPOPULATED = """
SELECT n.nspname, c.relname
  FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
 WHERE c.relkind = 'm' AND NOT c.relispopulated ORDER BY 1, 2
"""
