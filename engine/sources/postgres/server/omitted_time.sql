, impure AS (
    SELECT oid FROM pg_catalog.pg_proc WHERE oid < 16384 AND (provolatile = 'v' OR proname IN ('now',
        'transaction_timestamp', 'statement_timestamp', 'current_user', 'session_user', 'current_schema', 'current_schemas',
        'current_database', 'inet_client_addr', 'inet_client_port', 'pg_backend_pid', 'version')
        OR proname = 'age' AND pronargs = 1)
    UNION ALL SELECT p.oid FROM pg_catalog.pg_proc p
     WHERE p.oid >= 16384 AND ('pg_catalog.pg_proc'::pg_catalog.regclass, p.oid) NOT IN (SELECT classid, objid FROM member)
       AND (p.prosrc ~* '\m(?:now|random|clock_timestamp|statement_timestamp|transaction_timestamp|timeofday)\s*\('
         OR p.prosrc ~* '\m(?:current|session)_(?:date|time|timestamp|user|role|schema)\M|\mlocaltime(?:stamp)?\M'
         OR pg_catalog.to_jsonb(p)->>'prosqlbody' ~ '\{SQLVALUEFUNCTION |:funcid (?:1299|2647|2648|2649) ')),
checked AS (
    SELECT pg_catalog.quote_ident(k.conname) || ' of ' || CASE WHEN k.conrelid <> 0
             THEN pg_catalog.concat(k.conrelid::pg_catalog.regclass)
             ELSE pg_catalog.concat(k.contypid::pg_catalog.regtype) END AS name, k.conbin::pg_catalog.text AS tree
      FROM pg_catalog.pg_constraint k
     WHERE k.contype = 'c' AND k.convalidated AND (k.conrelid = 0 OR k.coninhcount = 0)
       AND pg_catalog.pg_get_constraintdef(k.oid) !~ ('^CHECK \(\((?:VALUE|[\w$]+|"[^"]*") <=? (?:(?:now\(\)|CURRENT_TIMESTAMP'
           || '|CURRENT_DATE|LOCALTIMESTAMP)|\((?:now\(\)|CURRENT_TIMESTAMP|CURRENT_DATE|LOCALTIMESTAMP) [+-] '
           || '(?:\d+|''[^'']*''::interval)\))\)\)$'))
SELECT DISTINCT name FROM checked WHERE tree ~ '\{SQLVALUEFUNCTION '
    OR EXISTS (SELECT FROM pg_catalog.regexp_matches(tree, ':(?:funcid|opfuncid) (\d+)', 'g') AS m
          JOIN impure ON impure.oid = m[1]::pg_catalog.oid) ORDER BY 1
