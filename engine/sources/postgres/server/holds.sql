-- Managed services give `postgres` to their master, who is no superuser.
WITH made AS (
    SELECT oid FROM pg_catalog.pg_class WHERE pg_catalog.concat(relnamespace::pg_catalog.regnamespace) !~ '^"?pg_(toast|temp)'
    UNION ALL SELECT oid FROM pg_catalog.pg_proc UNION ALL SELECT oid FROM pg_catalog.pg_extension
    UNION ALL SELECT oid FROM pg_catalog.pg_type WHERE pg_catalog.concat(typnamespace::pg_catalog.regnamespace) !~ '^"?pg_(toast|temp)'
    UNION ALL SELECT oid FROM pg_catalog.pg_namespace WHERE nspname !~ '^pg_(toast|temp)'
    UNION ALL SELECT oid FROM pg_catalog.pg_cast UNION ALL SELECT oid FROM pg_catalog.pg_collation
    UNION ALL SELECT oid FROM pg_catalog.pg_conversion UNION ALL SELECT oid FROM pg_catalog.pg_operator
    UNION ALL SELECT oid FROM pg_catalog.pg_opclass UNION ALL SELECT oid FROM pg_catalog.pg_opfamily
    UNION ALL SELECT oid FROM pg_catalog.pg_am UNION ALL SELECT oid FROM pg_catalog.pg_language
    UNION ALL SELECT oid FROM pg_catalog.pg_ts_config UNION ALL SELECT oid FROM pg_catalog.pg_ts_dict
    UNION ALL SELECT oid FROM pg_catalog.pg_ts_parser UNION ALL SELECT oid FROM pg_catalog.pg_ts_template
    UNION ALL SELECT oid FROM pg_catalog.pg_foreign_data_wrapper UNION ALL SELECT oid FROM pg_catalog.pg_foreign_server
    UNION ALL SELECT oid FROM pg_catalog.pg_event_trigger UNION ALL SELECT oid FROM pg_catalog.pg_publication
    UNION ALL SELECT oid FROM pg_catalog.pg_default_acl UNION ALL SELECT oid FROM pg_catalog.pg_transform)
SELECT EXISTS (SELECT FROM made WHERE oid >= 16384)
    OR EXISTS (SELECT FROM pg_catalog.pg_largeobject_metadata)
    OR EXISTS (SELECT FROM pg_catalog.pg_subscription s WHERE s.subdbid = d.oid)
    OR EXISTS (SELECT FROM pg_catalog.pg_db_role_setting s WHERE s.setdatabase = d.oid)
    OR EXISTS (SELECT FROM pg_catalog.pg_namespace n LEFT JOIN pg_catalog.pg_init_privs i
          ON i.objoid = n.oid AND i.classoid = 'pg_catalog.pg_namespace'::pg_catalog.regclass
         WHERE n.nspname = 'public' AND n.nspacl IS DISTINCT FROM i.initprivs)
    OR NOT EXISTS (SELECT FROM pg_catalog.pg_namespace WHERE nspname = 'public')
    OR d.datconnlimit <> -1 OR d.datistemplate <> (d.name = 'template1')
    OR d.datdba <> 10 AND NOT (d.name = 'postgres' AND pg_catalog.current_setting('is_superuser') = 'off')
    OR pg_catalog.shobj_description(d.oid, 'pg_database') IS DISTINCT FROM CASE d.name
         WHEN 'postgres' THEN 'default administrative connection database'
         WHEN 'template1' THEN 'default template for new databases' END
    OR CASE d.name WHEN 'postgres' THEN d.datacl IS NOT NULL
         ELSE d.datacl IS DISTINCT FROM (SELECT t.datacl FROM pg_catalog.pg_database t WHERE t.datname = 'template0') END
  FROM (SELECT p.*, COALESCE(NULLIF(%(like)s::text, ''), p.datname) AS name FROM pg_catalog.pg_database p
         WHERE p.datname = pg_catalog.current_database()) AS d
