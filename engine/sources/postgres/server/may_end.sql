(pg_catalog.current_setting('is_superuser')::bool
 OR a.usesysid IS NOT NULL AND NOT (SELECT rolsuper FROM pg_catalog.pg_roles WHERE oid = a.usesysid)
    AND (pg_catalog.pg_has_role(a.usesysid, 'USAGE') OR pg_catalog.pg_has_role('pg_signal_backend', 'USAGE')))
