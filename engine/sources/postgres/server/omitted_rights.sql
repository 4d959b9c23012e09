SELECT DISTINCT pg_catalog.concat(v.oid::pg_catalog.regclass)
  FROM pg_catalog.pg_class v
  JOIN pg_catalog.pg_roles o ON o.oid = v.relowner AND NOT o.rolsuper
  JOIN pg_catalog.pg_rewrite r ON r.ev_class = v.oid
  JOIN pg_catalog.pg_depend d ON d.classid = 'pg_catalog.pg_rewrite'::pg_catalog.regclass AND d.objid = r.oid
 WHERE v.relkind = 'm' AND v.relispopulated
   AND (d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.refobjid <> v.oid
        AND EXISTS (SELECT FROM pg_catalog.pg_class t WHERE t.oid = d.refobjid AND t.relkind IN ('r', 'p', 'v', 'm', 'f'))
        AND NOT pg_catalog.has_table_privilege(o.oid, d.refobjid, 'SELECT')
        AND (d.refobjsubid = 0 OR NOT pg_catalog.has_column_privilege(o.oid, d.refobjid, d.refobjsubid::pg_catalog.int2, 'SELECT'))
        AND NOT (d.refobjsubid = 0 AND pg_catalog.has_any_column_privilege(o.oid, d.refobjid, 'SELECT'))
     OR d.refclassid = 'pg_catalog.pg_proc'::pg_catalog.regclass
        AND NOT pg_catalog.has_function_privilege(o.oid, d.refobjid, 'EXECUTE')) ORDER BY 1
