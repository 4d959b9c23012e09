WITH RECURSIVE gone(oid) AS (
    SELECT pg_catalog.unnest(%s::pg_catalog.oid[])
    UNION
    SELECT c.oid FROM gone g
      JOIN pg_catalog.pg_depend d ON d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.refobjid = g.oid
      LEFT JOIN pg_catalog.pg_rewrite r ON d.classid = 'pg_catalog.pg_rewrite'::pg_catalog.regclass AND r.oid = d.objid
      JOIN pg_catalog.pg_class c ON c.oid = r.ev_class AND c.relkind IN ('v', 'm')
        OR d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.deptype IN ('a', 'i') AND c.oid = d.objid AND c.relkind = 'S'),
whole AS (
    SELECT 'pg_catalog.pg_class'::pg_catalog.regclass AS classid, oid FROM gone
    UNION ALL SELECT 'pg_catalog.pg_type'::pg_catalog.regclass, t.oid FROM pg_catalog.pg_type t JOIN gone g ON g.oid = t.typrelid
    UNION ALL SELECT 'pg_catalog.pg_type'::pg_catalog.regclass, t.typarray FROM pg_catalog.pg_type t JOIN gone g ON g.oid = t.typrelid),
found AS (
    SELECT d.classid, d.objid, d.objsubid, COALESCE(r.ev_class, k.conrelid, p.polrelid, f.adrelid, g.tgrelid, i.indrelid,
             CASE WHEN d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass THEN d.objid END, 0) AS relation
      FROM whole w JOIN pg_catalog.pg_depend d ON d.refclassid = w.classid AND d.refobjid = w.oid
      LEFT JOIN pg_catalog.pg_rewrite r ON d.classid = 'pg_catalog.pg_rewrite'::pg_catalog.regclass AND r.oid = d.objid
      LEFT JOIN pg_catalog.pg_constraint k ON d.classid = 'pg_catalog.pg_constraint'::pg_catalog.regclass AND k.oid = d.objid
      LEFT JOIN pg_catalog.pg_policy p ON d.classid = 'pg_catalog.pg_policy'::pg_catalog.regclass AND p.oid = d.objid
      LEFT JOIN pg_catalog.pg_attrdef f ON d.classid = 'pg_catalog.pg_attrdef'::pg_catalog.regclass AND f.oid = d.objid
      LEFT JOIN pg_catalog.pg_trigger g ON d.classid = 'pg_catalog.pg_trigger'::pg_catalog.regclass AND g.oid = d.objid
      LEFT JOIN pg_catalog.pg_index i ON d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND i.indexrelid = d.objid
     WHERE d.deptype IN ('n', 'a') AND d.classid NOT IN ('pg_catalog.pg_publication_rel'::pg_catalog.regclass,
               'pg_catalog.pg_type'::pg_catalog.regclass, 'pg_catalog.pg_statistic_ext'::pg_catalog.regclass))
SELECT c.oid, n.nspname, c.relname, ''
  FROM gone JOIN pg_catalog.pg_class c ON c.oid = gone.oid JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
UNION ALL
SELECT DISTINCT 0::pg_catalog.oid, '', '', pg_catalog.pg_describe_object(classid, objid, objsubid) FROM found
 WHERE relation NOT IN (SELECT oid FROM gone)
UNION ALL
SELECT DISTINCT 0::pg_catalog.oid, '', '', pg_catalog.concat('all rows of ', i.inhparent::pg_catalog.regclass)
  FROM pg_catalog.pg_inherits i JOIN gone ON gone.oid = i.inhrelid WHERE i.inhparent NOT IN (SELECT oid FROM gone)
 ORDER BY 4, 2, 3
