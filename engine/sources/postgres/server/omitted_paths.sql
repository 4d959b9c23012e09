SELECT DISTINCT pg_catalog.concat(d.refobjid::pg_catalog.regprocedure) || ' of ' || pg_catalog.concat(v.oid::pg_catalog.regclass)
  FROM pg_catalog.pg_depend d
  JOIN pg_catalog.pg_rewrite r ON r.oid = d.objid
  JOIN pg_catalog.pg_class v ON v.oid = r.ev_class AND v.relkind = 'm' AND v.relispopulated
  JOIN pg_catalog.pg_proc p ON p.oid = d.refobjid
  JOIN pg_catalog.pg_language l ON l.oid = p.prolang AND l.lanname IN ('sql', 'plpgsql')
 WHERE d.classid = 'pg_catalog.pg_rewrite'::pg_catalog.regclass AND d.refclassid = 'pg_catalog.pg_proc'::pg_catalog.regclass
   AND p.oid >= 16384 AND ('pg_catalog.pg_proc'::pg_catalog.regclass, p.oid) NOT IN (SELECT classid, objid FROM member)
   AND NOT EXISTS (SELECT FROM pg_catalog.unnest(p.proconfig) AS c WHERE pg_catalog.starts_with(c, 'search_path='))
   AND EXISTS (SELECT FROM pg_catalog.regexp_matches(p.prosrc,
            '\m(?:from|join)\s+(?:only\s+)?"?([\w$]+)"?(?!\s*[.(\w$"])', 'gi') AS m
          JOIN pg_catalog.pg_class t ON t.relkind IN ('r', 'p', 'v', 'm', 'f') AND t.oid >= 16384
           AND pg_catalog.lower(t.relname) = pg_catalog.lower(m[1])) ORDER BY 1
