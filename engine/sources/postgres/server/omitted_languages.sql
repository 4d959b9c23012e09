SELECT pg_catalog.quote_ident(l.lanname) FROM pg_catalog.pg_language l
  JOIN pg_catalog.pg_proc p ON p.oid = l.lanplcallfoid
 WHERE l.oid >= 16384
   AND ('pg_catalog.pg_language'::pg_catalog.regclass, l.oid) NOT IN (SELECT classid, objid FROM member)
   AND (p.pronamespace = 'pg_catalog'::pg_catalog.regnamespace
     OR ('pg_catalog.pg_proc'::pg_catalog.regclass, p.oid) IN (SELECT classid, objid FROM member))
 ORDER BY 1
