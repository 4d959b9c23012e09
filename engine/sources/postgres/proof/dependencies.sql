WITH member AS MATERIALIZED (
    SELECT d.classid, d.objid, e.extname FROM pg_catalog.pg_depend d
      JOIN pg_catalog.pg_extension e ON e.oid = d.refobjid
     WHERE d.deptype = 'e' AND d.refclassid = 'pg_catalog.pg_extension'::pg_catalog.regclass
), own AS MATERIALIZED (
    SELECT oid, nspname AS name FROM pg_catalog.pg_namespace
     WHERE nspname !~ '^pg_' AND nspname <> 'information_schema'
), place AS MATERIALIZED (
    SELECT c.oid, n.name || '.' || c.relname AS name, c.relkind FROM pg_catalog.pg_class c JOIN own n ON n.oid = c.relnamespace
     WHERE c.relpersistence <> 't' AND c.relkind IN ('r', 'p', 'f', 'v', 'm') AND c.oid <> ALL (%s::pg_catalog.oid[])
       AND ('pg_catalog.pg_class'::pg_catalog.regclass, c.oid) NOT IN (SELECT classid, objid FROM member)
), type AS MATERIALIZED (
    SELECT t.oid, n.nspname, n.nspname || '.' || t.typname AS name,
           CASE WHEN c.relkind <> 'c' THEN 'pg_catalog.pg_class'::pg_catalog.regclass
                ELSE 'pg_catalog.pg_type'::pg_catalog.regclass END AS whose_class,
           CASE WHEN c.relkind <> 'c' THEN c.oid WHEN t.typcategory = 'A' THEN t.typelem ELSE t.oid END AS whose
      FROM pg_catalog.pg_type t JOIN pg_catalog.pg_namespace n ON n.oid = t.typnamespace
      LEFT JOIN pg_catalog.pg_class c ON c.oid = t.typrelid
), routine AS MATERIALIZED (
    SELECT p.oid, n.nspname || '.' || p.proname || '(' || (
            SELECT COALESCE(pg_catalog.string_agg(a.nspname || '.' || t.typname, ', ' ORDER BY u.at), '')
              FROM pg_catalog.unnest(p.proargtypes::pg_catalog.oid[]) WITH ORDINALITY AS u(type, at)
              JOIN pg_catalog.pg_type t ON t.oid = u.type JOIN pg_catalog.pg_namespace a ON a.oid = t.typnamespace) || ')' AS name
      FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace WHERE n.nspname <> 'pg_catalog'
), dependent AS (
    SELECT 'pg_catalog.pg_rewrite'::pg_catalog.regclass AS class, r.oid, 'rule ' || r.rulename || ' of ' || p.name AS name,
           false AS code_only
      FROM pg_catalog.pg_rewrite r JOIN place p ON p.oid = r.ev_class
    UNION ALL
    SELECT 'pg_catalog.pg_constraint'::pg_catalog.regclass, k.oid, 'constraint ' || k.conname || ' of ' || p.name, false
      FROM pg_catalog.pg_constraint k JOIN place p ON p.oid = k.conrelid
     WHERE k.conparentid = 0 AND (k.conislocal OR k.coninhcount = 0)
    UNION ALL
    SELECT 'pg_catalog.pg_constraint'::pg_catalog.regclass, k.oid, 'constraint ' || k.conname || ' of ' || t.name, false
      FROM pg_catalog.pg_constraint k JOIN type t ON t.oid = k.contypid
     WHERE ('pg_catalog.pg_type'::pg_catalog.regclass, t.oid) NOT IN (SELECT classid, objid FROM member)
    UNION ALL
    SELECT 'pg_catalog.pg_trigger'::pg_catalog.regclass, g.oid, 'trigger ' || g.tgname || ' of ' || p.name, false
      FROM pg_catalog.pg_trigger g JOIN place p ON p.oid = g.tgrelid WHERE NOT g.tgisinternal AND g.tgparentid = 0
    UNION ALL
    SELECT 'pg_catalog.pg_policy'::pg_catalog.regclass, l.oid, 'policy ' || l.polname || ' of ' || p.name, false
      FROM pg_catalog.pg_policy l JOIN place p ON p.oid = l.polrelid
    UNION ALL
    SELECT 'pg_catalog.pg_attrdef'::pg_catalog.regclass, f.oid, 'default of ' || p.name || '.' || a.attname, false
      FROM pg_catalog.pg_attrdef f JOIN place p ON p.oid = f.adrelid
      JOIN pg_catalog.pg_attribute a ON a.attrelid = f.adrelid AND a.attnum = f.adnum
    UNION ALL
    SELECT 'pg_catalog.pg_class'::pg_catalog.regclass, i.indexrelid, 'index ' || c.relname || ' of ' || p.name, false
      FROM pg_catalog.pg_index i JOIN place p ON p.oid = i.indrelid JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid
     WHERE i.indisvalid OR p.relkind = 'p'
    UNION ALL
    SELECT 'pg_catalog.pg_class'::pg_catalog.regclass, p.oid, 'table ' || p.name, true FROM place p WHERE p.relkind IN ('r', 'p', 'f')
    UNION ALL
    SELECT 'pg_catalog.pg_statistic_ext'::pg_catalog.regclass, s.oid, 'statistics ' || n.name || '.' || s.stxname, false
      FROM pg_catalog.pg_statistic_ext s JOIN place p ON p.oid = s.stxrelid JOIN own n ON n.oid = s.stxnamespace
    UNION ALL
    SELECT 'pg_catalog.pg_publication_rel'::pg_catalog.regclass, r.oid, 'publication ' || b.pubname || ' of ' || p.name, false
      FROM pg_catalog.pg_publication_rel r JOIN place p ON p.oid = r.prrelid JOIN pg_catalog.pg_publication b ON b.oid = r.prpubid
    UNION ALL
    SELECT 'pg_catalog.pg_proc'::pg_catalog.regclass, r.oid, 'function ' || r.name, true
      FROM pg_catalog.pg_proc p JOIN own n ON n.oid = p.pronamespace JOIN routine r ON r.oid = p.oid
     WHERE ('pg_catalog.pg_proc'::pg_catalog.regclass, p.oid) NOT IN (SELECT classid, objid FROM member)
), used AS (
    SELECT 'pg_catalog.pg_operator'::pg_catalog.regclass AS class, o.oid,
           'operator ' || n.nspname || '.' || o.oprname || ' (' || COALESCE(l.name, 'none') || ', ' || COALESCE(r.name, 'none') || ')' AS name,
           'pg_catalog.pg_operator'::pg_catalog.regclass AS whose_class, o.oid AS whose
      FROM pg_catalog.pg_operator o JOIN pg_catalog.pg_namespace n ON n.oid = o.oprnamespace
      LEFT JOIN type l ON l.oid = o.oprleft LEFT JOIN type r ON r.oid = o.oprright WHERE n.nspname <> 'pg_catalog'
    UNION ALL
    SELECT 'pg_catalog.pg_proc'::pg_catalog.regclass, r.oid, 'function ' || r.name, 'pg_catalog.pg_proc'::pg_catalog.regclass, r.oid
      FROM routine r
    UNION ALL
    SELECT 'pg_catalog.pg_type'::pg_catalog.regclass, t.oid, 'type ' || t.name, t.whose_class, t.whose
      FROM type t WHERE t.nspname <> 'pg_catalog'
    UNION ALL
    SELECT 'pg_catalog.pg_collation'::pg_catalog.regclass, c.oid, 'collation ' || n.nspname || '.' || c.collname,
           'pg_catalog.pg_collation'::pg_catalog.regclass, c.oid
      FROM pg_catalog.pg_collation c JOIN pg_catalog.pg_namespace n ON n.oid = c.collnamespace WHERE n.nspname <> 'pg_catalog'
    UNION ALL
    SELECT 'pg_catalog.pg_opclass'::pg_catalog.regclass, c.oid,
           'operator class ' || n.nspname || '.' || c.opcname || ' for ' || m.amname,
           'pg_catalog.pg_opclass'::pg_catalog.regclass, c.oid
      FROM pg_catalog.pg_opclass c JOIN pg_catalog.pg_namespace n ON n.oid = c.opcnamespace
      JOIN pg_catalog.pg_am m ON m.oid = c.opcmethod WHERE n.nspname <> 'pg_catalog'
    UNION ALL
    SELECT 'pg_catalog.pg_opfamily'::pg_catalog.regclass, f.oid,
           'operator family ' || n.nspname || '.' || f.opfname || ' for ' || m.amname,
           'pg_catalog.pg_opfamily'::pg_catalog.regclass, f.oid
      FROM pg_catalog.pg_opfamily f JOIN pg_catalog.pg_namespace n ON n.oid = f.opfnamespace
      JOIN pg_catalog.pg_am m ON m.oid = f.opfmethod WHERE n.nspname <> 'pg_catalog'
)
SELECT DISTINCT pg_catalog.textsend(x.name), pg_catalog.textsend(u.name), COALESCE(m.extname, ''), GREATEST(counted.times, 1)
  FROM pg_catalog.pg_depend d JOIN dependent x ON x.class = d.classid AND x.oid = d.objid
  JOIN used u ON u.class = d.refclassid AND u.oid = d.refobjid
  LEFT JOIN member m ON m.classid = u.whose_class AND m.objid = u.whose
  LEFT JOIN LATERAL (
       SELECT pg_catalog.count(*) AS times FROM (
           SELECT pg_catalog.concat(ev_qual, ev_action) FROM pg_catalog.pg_rewrite
            WHERE x.class = 'pg_catalog.pg_rewrite'::pg_catalog.regclass AND oid = x.oid
           UNION ALL SELECT conbin::text FROM pg_catalog.pg_constraint
            WHERE x.class = 'pg_catalog.pg_constraint'::pg_catalog.regclass AND oid = x.oid
           UNION ALL SELECT tgqual::text FROM pg_catalog.pg_trigger
            WHERE x.class = 'pg_catalog.pg_trigger'::pg_catalog.regclass AND oid = x.oid
           UNION ALL SELECT pg_catalog.concat(polqual, polwithcheck) FROM pg_catalog.pg_policy
            WHERE x.class = 'pg_catalog.pg_policy'::pg_catalog.regclass AND oid = x.oid
           UNION ALL SELECT adbin::text FROM pg_catalog.pg_attrdef
            WHERE x.class = 'pg_catalog.pg_attrdef'::pg_catalog.regclass AND oid = x.oid
           UNION ALL SELECT pg_catalog.concat(indexprs, indpred) FROM pg_catalog.pg_index
            WHERE x.class = 'pg_catalog.pg_class'::pg_catalog.regclass AND indexrelid = x.oid
           UNION ALL SELECT partexprs::text FROM pg_catalog.pg_partitioned_table
            WHERE x.class = 'pg_catalog.pg_class'::pg_catalog.regclass AND partrelid = x.oid
           UNION ALL SELECT pg_catalog.to_jsonb(s)->>'stxexprs' FROM pg_catalog.pg_statistic_ext s
            WHERE x.class = 'pg_catalog.pg_statistic_ext'::pg_catalog.regclass AND s.oid = x.oid
           UNION ALL SELECT pg_catalog.concat(p.proargdefaults, pg_catalog.to_jsonb(p)->>'prosqlbody') FROM pg_catalog.pg_proc p
            WHERE x.class = 'pg_catalog.pg_proc'::pg_catalog.regclass AND p.oid = x.oid
         ) AS stored(tree) CROSS JOIN LATERAL pg_catalog.regexp_matches(stored.tree, pg_catalog.concat(':opno ', u.oid, ' '), 'g')
     ) AS counted ON d.refclassid = 'pg_catalog.pg_operator'::pg_catalog.regclass
 WHERE NOT x.code_only OR d.refclassid IN ('pg_catalog.pg_operator'::pg_catalog.regclass, 'pg_catalog.pg_proc'::pg_catalog.regclass)
 ORDER BY 1, 2
