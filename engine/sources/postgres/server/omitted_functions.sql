, impure AS (
    SELECT oid FROM clock UNION SELECT b.oid FROM body b
     WHERE EXISTS (SELECT FROM pg_catalog.regexp_matches(b.prosrc,
                '\m(?:from|join)\s+(?:only\s+)?(?:"?[\w$]+"?\s*\.\s*)?"?([\w$]+)"?', 'gi') AS m
              JOIN pg_catalog.pg_class t ON t.relkind IN ('r', 'p', 'v', 'm', 'f') AND t.oid >= 16384
               AND pg_catalog.lower(t.relname) = pg_catalog.lower(m[1]))
    UNION SELECT call.caller FROM impure JOIN call ON call.callee = impure.oid),
used AS (
    SELECT d.refobjid AS function, pg_catalog.quote_ident(a.attname) || ' of ' || pg_catalog.concat(a.attrelid::pg_catalog.regclass) AS name
      FROM pg_catalog.pg_depend d JOIN pg_catalog.pg_attrdef e ON e.oid = d.objid
      JOIN pg_catalog.pg_attribute a ON a.attrelid = e.adrelid AND a.attnum = e.adnum AND a.attgenerated = 's'
     WHERE d.classid = 'pg_catalog.pg_attrdef'::pg_catalog.regclass AND d.refclassid = 'pg_catalog.pg_proc'::pg_catalog.regclass
    UNION ALL SELECT d.refobjid, 'the index ' || pg_catalog.concat(d.objid::pg_catalog.regclass)
      FROM pg_catalog.pg_depend d JOIN pg_catalog.pg_class i ON i.oid = d.objid AND i.relkind IN ('i', 'I')
     WHERE d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.refclassid = 'pg_catalog.pg_proc'::pg_catalog.regclass)
SELECT DISTINCT used.name FROM used JOIN impure ON impure.oid = used.function ORDER BY 1
