, builtin AS (
    SELECT oid FROM pg_catalog.pg_proc WHERE oid < 16384 AND (provolatile = 'v' OR proname IN ('now',
        'transaction_timestamp', 'statement_timestamp', 'current_user', 'session_user', 'current_schema', 'current_schemas',
        'current_database', 'current_setting', 'inet_client_addr', 'inet_client_port', 'pg_backend_pid', 'version')
        OR proname = 'age' AND pronargs = 1)),
body AS (
    SELECT p.oid, p.proname, p.prosrc, pg_catalog.to_jsonb(p)->>'prosqlbody' AS tree FROM pg_catalog.pg_proc p
     WHERE p.oid >= 16384 AND ('pg_catalog.pg_proc'::pg_catalog.regclass, p.oid) NOT IN (SELECT classid, objid FROM member)),
call AS (
    SELECT b.oid AS caller, c.oid AS callee
      FROM body b CROSS JOIN LATERAL pg_catalog.regexp_matches(b.prosrc, '\m([\w$]+)"?\s*\(', 'g') AS m
      JOIN body c ON pg_catalog.lower(c.proname) = pg_catalog.lower(m[1]) AND c.oid <> b.oid
    UNION SELECT d.objid, d.refobjid FROM pg_catalog.pg_depend d
     WHERE d.classid = 'pg_catalog.pg_proc'::pg_catalog.regclass AND d.refclassid = 'pg_catalog.pg_proc'::pg_catalog.regclass),
clock AS (
    SELECT b.oid FROM body b
     WHERE b.prosrc ~* '\m(?:now|random|clock_timestamp|statement_timestamp|transaction_timestamp|timeofday|current_setting)\s*\('
        OR b.prosrc ~* '\m(?:current|session)_(?:date|time|timestamp|user|role|schema)\M|\mlocaltime(?:stamp)?\M'
        OR b.tree ~ '\{SQLVALUEFUNCTION ' OR EXISTS (
             SELECT FROM pg_catalog.regexp_matches(b.tree, ':(?:funcid|opfuncid) (\d+)', 'g') AS m
              JOIN builtin ON builtin.oid = m[1]::pg_catalog.oid)
    UNION SELECT call.caller FROM clock JOIN call ON call.callee = clock.oid)
