SELECT pg_catalog.concat(c.oid::pg_catalog.regclass) FROM pg_catalog.pg_class c
 WHERE c.oid >= 16384 AND c.relkind NOT IN ('i', 'I', 't')
   AND c.relnamespace IN ('pg_catalog'::pg_catalog.regnamespace, 'information_schema'::pg_catalog.regnamespace)
   AND ('pg_catalog.pg_class'::pg_catalog.regclass, c.oid) NOT IN (SELECT classid, objid FROM member)
UNION ALL SELECT pg_catalog.concat(p.oid::pg_catalog.regprocedure) FROM pg_catalog.pg_proc p
 WHERE p.oid >= 16384
   AND p.pronamespace IN ('pg_catalog'::pg_catalog.regnamespace, 'information_schema'::pg_catalog.regnamespace)
   AND ('pg_catalog.pg_proc'::pg_catalog.regclass, p.oid) NOT IN (SELECT classid, objid FROM member)
 ORDER BY 1
