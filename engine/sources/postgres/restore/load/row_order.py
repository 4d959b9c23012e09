"""Whether a database's rows must go in as pg_restore would put them in: one table after the other, in the archive's order.

A check, a domain, a generated column, a partition key or the order of a range may call a function that reads another
table, though PostgreSQL does not know it. What pg_dump stores is restored that way as long as the other table comes first.
"""

from __future__ import annotations

import psycopg

from engine.sources.postgres.restore.replay import APPLICATION
from engine.sources.postgres.server.server import Server, failed

_OWN = """
WITH own AS (
    SELECT o.classid, o.oid FROM (
        SELECT 'pg_catalog.pg_proc'::pg_catalog.regclass AS classid, oid FROM pg_catalog.pg_proc UNION ALL
        SELECT 'pg_catalog.pg_operator'::pg_catalog.regclass, oid FROM pg_catalog.pg_operator UNION ALL
        SELECT 'pg_catalog.pg_opclass'::pg_catalog.regclass, oid FROM pg_catalog.pg_opclass) AS o
     WHERE o.oid >= 16384 AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d
         WHERE d.classid = o.classid AND d.objid = o.oid AND d.deptype = 'e'))
SELECT EXISTS (SELECT FROM own JOIN pg_catalog.pg_depend d ON d.refclassid = own.classid AND d.refobjid = own.oid
         WHERE (d.classid = 'pg_catalog.pg_constraint'::pg_catalog.regclass AND EXISTS (
                  SELECT FROM pg_catalog.pg_constraint c WHERE c.oid = d.objid AND c.contype = 'c'))
            OR (d.classid = 'pg_catalog.pg_attrdef'::pg_catalog.regclass AND EXISTS (
                  SELECT FROM pg_catalog.pg_attrdef e JOIN pg_catalog.pg_attribute a
                      ON a.attrelid = e.adrelid AND a.attnum = e.adnum AND a.attgenerated <> ''
                   WHERE e.oid = d.objid))
            OR (d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND EXISTS (
                  SELECT FROM pg_catalog.pg_partitioned_table p WHERE p.partrelid = d.objid))
            OR (d.classid = 'pg_catalog.pg_type'::pg_catalog.regclass AND EXISTS (
                  SELECT FROM pg_catalog.pg_range r WHERE r.rngtypid = d.objid)))
"""
"""Of functions, operators and operator classes that are nobody's but the database's: an extension's read no user's tables."""


def rows_have_an_order(server: Server, database: str) -> bool:
    """Whether a row that is loaded may call a function of the database itself. To be asked before there are rows.

    Raises:
        OperationFailed: the server went away (a TransientFailure).
    """
    try:
        with server.connect(database, application=APPLICATION) as connection:
            ((found,),) = connection.execute(_OWN).fetchall()
    except psycopg.Error as error:
        raise failed(f"Reading the restored {database!r} failed", error) from None
    return bool(found)
