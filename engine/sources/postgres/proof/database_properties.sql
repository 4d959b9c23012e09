SELECT pg_catalog.pg_get_userbyid(d.datdba), pg_catalog.pg_encoding_to_char(d.encoding), d.datcollate, d.datctype,
       COALESCE(pg_catalog.to_jsonb(d)->>'datlocprovider', 'c'),
       COALESCE(pg_catalog.to_jsonb(d)->>'datlocale', pg_catalog.to_jsonb(d)->>'daticulocale', ''),
       COALESCE(pg_catalog.to_jsonb(d)->>'daticurules', ''),
       d.datconnlimit, d.datistemplate, COALESCE(pg_catalog.shobj_description(d.oid, 'pg_database'), ''),
       (SELECT COALESCE(pg_catalog.array_agg(pg_catalog.concat(x.item) ORDER BY pg_catalog.concat(x.item) COLLATE "C"), '{}')
          FROM pg_catalog.unnest(COALESCE(d.datacl, pg_catalog.acldefault('d', d.datdba))) AS x(item)),
       (SELECT COALESCE(pg_catalog.array_agg(ARRAY[COALESCE(r.rolname::text, ''), u.item] ORDER BY r.rolname COLLATE "C", u.item COLLATE "C"), '{}')
          FROM pg_catalog.pg_db_role_setting s LEFT JOIN pg_catalog.pg_roles r ON r.oid = s.setrole
          CROSS JOIN LATERAL pg_catalog.unnest(s.setconfig) AS u(item) WHERE s.setdatabase = d.oid)
  FROM pg_catalog.pg_database d WHERE d.datname = pg_catalog.current_database()
