SELECT pg_catalog.quote_ident(k.conname) || ' of ' || pg_catalog.concat(k.conrelid::pg_catalog.regclass)
  FROM pg_catalog.pg_description d JOIN pg_catalog.pg_constraint k ON k.oid = d.objoid AND NOT k.conislocal
 WHERE d.classoid = 'pg_catalog.pg_constraint'::pg_catalog.regclass
UNION ALL SELECT pg_catalog.quote_ident(g.tgname) || ' of ' || pg_catalog.concat(g.tgrelid::pg_catalog.regclass)
  FROM pg_catalog.pg_description d JOIN pg_catalog.pg_trigger g ON g.oid = d.objoid
 WHERE d.classoid = 'pg_catalog.pg_trigger'::pg_catalog.regclass AND g.tgparentid <> 0
UNION ALL SELECT 'the rule of ' || pg_catalog.concat(r.ev_class::pg_catalog.regclass)
  FROM pg_catalog.pg_description d JOIN pg_catalog.pg_rewrite r ON r.oid = d.objoid AND r.rulename = '_RETURN'
 WHERE d.classoid = 'pg_catalog.pg_rewrite'::pg_catalog.regclass
UNION ALL SELECT pg_catalog.concat(t.oid::pg_catalog.regtype)
  FROM pg_catalog.pg_description d JOIN pg_catalog.pg_type t ON t.oid = d.objoid AND t.oid >= 16384
   AND (t.typtype = 'm' OR t.typcategory = 'A'
     OR EXISTS (SELECT FROM pg_catalog.pg_class c WHERE c.oid = t.typrelid AND c.relkind <> 'c'))
 WHERE d.classoid = 'pg_catalog.pg_type'::pg_catalog.regclass
UNION ALL SELECT 'the extension plpgsql' FROM pg_catalog.pg_extension WHERE extname = 'plpgsql'
   AND pg_catalog.obj_description(oid, 'pg_extension') IS DISTINCT FROM 'PL/pgSQL procedural language'
 ORDER BY 1
