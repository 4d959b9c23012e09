SELECT DISTINCT pg_catalog.quote_ident(k.conname) || CASE WHEN k.conrelid <> 0
   THEN ' of ' || pg_catalog.concat(k.conrelid::pg_catalog.regclass) ELSE '' END
  FROM pg_catalog.pg_constraint k
  JOIN pg_catalog.pg_depend d ON d.classid = 'pg_catalog.pg_constraint'::pg_catalog.regclass
   AND d.objid = k.oid AND d.refclassid = 'pg_catalog.pg_proc'::pg_catalog.regclass
  JOIN pg_catalog.pg_proc p ON p.oid = d.refobjid
 WHERE k.contype = 'c' AND p.oid >= 16384
   AND ('pg_catalog.pg_proc'::pg_catalog.regclass, p.oid) NOT IN (SELECT classid, objid FROM member)
   AND EXISTS (SELECT FROM pg_catalog.pg_class t WHERE t.relkind IN ('r', 'p', 'v', 'm', 'f')
     AND (EXISTS (SELECT FROM pg_catalog.pg_depend b
           WHERE b.classid = 'pg_catalog.pg_proc'::pg_catalog.regclass AND b.objid = p.oid
             AND b.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass AND b.refobjid = t.oid)
       OR EXISTS (SELECT FROM pg_catalog.regexp_matches(p.prosrc,
             '\m(?:from|join)\s+(?:only\s+)?(?:"?[\w$]+"?\s*\.\s*)?"?([\w$]+)"?', 'gi') AS m
           WHERE pg_catalog.lower(m[1]) = pg_catalog.lower(t.relname)))) ORDER BY 1
