SELECT 'the schema information_schema' FROM pg_catalog.pg_namespace n WHERE n.nspname = 'information_schema'
   AND (SELECT pg_catalog.count(*) FROM pg_catalog.aclexplode(n.nspacl) x WHERE x.grantee <> n.nspowner
         AND (x.grantee, x.privilege_type) <> (0, 'USAGE')) + CASE WHEN EXISTS
       (SELECT FROM pg_catalog.aclexplode(n.nspacl) x WHERE (x.grantee, x.privilege_type) = (0, 'USAGE'))
        THEN 0 ELSE 1 END > 0
UNION ALL SELECT pg_catalog.concat(c.oid::pg_catalog.regclass) FROM pg_catalog.pg_class c
 WHERE c.relnamespace = 'information_schema'::pg_catalog.regnamespace AND c.oid < 16384 AND c.relacl IS NOT NULL
   AND (NOT EXISTS (SELECT FROM pg_catalog.aclexplode(c.relacl) x
         WHERE (x.grantee, x.privilege_type) = (0, 'SELECT'))
     OR EXISTS (SELECT FROM pg_catalog.aclexplode(c.relacl) x WHERE x.grantee <> c.relowner
         AND (x.grantee, x.privilege_type) <> (0, 'SELECT'))) AND c.relkind IN ('r', 'v')
UNION ALL SELECT 'the language ' || pg_catalog.quote_ident(l.lanname) FROM pg_catalog.pg_language l
 WHERE l.lanname IN ('internal', 'c', 'sql') AND l.lanacl IS NOT NULL
UNION ALL SELECT 'the row type of ' || pg_catalog.concat(t.typrelid::pg_catalog.regclass) FROM pg_catalog.pg_type t
  JOIN pg_catalog.pg_class c ON c.oid = t.typrelid AND c.relkind <> 'c' WHERE t.typacl IS NOT NULL
UNION ALL SELECT pg_catalog.concat(p.oid::pg_catalog.regprocedure) FROM pg_catalog.pg_proc p
  JOIN pg_catalog.pg_depend d ON d.classid = 'pg_catalog.pg_proc'::pg_catalog.regclass AND d.objid = p.oid
   AND d.deptype = 'i' AND d.refclassid = 'pg_catalog.pg_type'::pg_catalog.regclass
 WHERE p.proacl IS NOT NULL ORDER BY 1
