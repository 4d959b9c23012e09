SELECT c.oid, n.nspname, c.relname, root.oid, root.nspname, root.relname, COALESCE(x.condition, ''),
       c.relpersistence = 'u' AND pg_catalog.pg_is_in_recovery()
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
