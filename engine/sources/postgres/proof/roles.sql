SELECT r.rolname, r.rolsuper, r.rolinherit, r.rolcreaterole, r.rolcreatedb, r.rolcanlogin, r.rolreplication,
       r.rolbypassrls, r.rolconnlimit, {password}, pg_catalog.concat(r.rolvaliduntil),
       COALESCE(pg_catalog.shobj_description(r.oid, 'pg_authid'), ''),
       (SELECT COALESCE(pg_catalog.array_agg(u.item ORDER BY u.item COLLATE "C"), '{}')
          FROM pg_catalog.pg_db_role_setting s CROSS JOIN LATERAL pg_catalog.unnest(s.setconfig) AS u(item)
         WHERE s.setrole = r.oid AND s.setdatabase = 0),
       (SELECT COALESCE(pg_catalog.array_agg(pg_catalog.concat_ws(' ', pg_catalog.quote_ident(g.rolname), opt.text)
                 ORDER BY g.rolname COLLATE "C", opt.text COLLATE "C"), '{}')
          FROM pg_catalog.pg_auth_members m JOIN pg_catalog.pg_roles g ON g.oid = m.roleid
          CROSS JOIN LATERAL (SELECT pg_catalog.to_jsonb(m)->>'admin_option' || ' '
              || COALESCE(pg_catalog.to_jsonb(m)->>'inherit_option', '') || ' '
              || COALESCE(pg_catalog.to_jsonb(m)->>'set_option' || ' by '
                 || pg_catalog.quote_ident(pg_catalog.pg_get_userbyid(m.grantor)), '')) AS opt(text)
         WHERE m.member = r.oid AND NOT (r.rolname ~ '^pg_' AND g.rolname ~ '^pg_'))
  FROM {roles} r
 ORDER BY r.rolname COLLATE "C"
