-- A large object is hashed in pieces of 1 MiB.
SELECT m.oid::pg_catalog.int8, pg_catalog.pg_get_userbyid(m.lomowner),
       (SELECT pg_catalog.string_agg(pg_catalog.concat(x.item), ' ' ORDER BY pg_catalog.concat(x.item) COLLATE "C")
          FROM pg_catalog.unnest(COALESCE(m.lomacl, pg_catalog.acldefault('L', m.lomowner))) AS x(item)),
       COALESCE(pg_catalog.obj_description(m.oid, 'pg_largeobject'), ''), COALESCE(s.size, 0),
       COALESCE((SELECT pg_catalog.sum(pg_catalog.hash_record_extended(ROW(pg_catalog.record_send(
            ROW(o, pg_catalog.lo_get(m.oid, o, 1048576)))), 0))
          FROM pg_catalog.generate_series(0::int8, s.size - 1, 1048576) AS o), 0)
  FROM pg_catalog.pg_largeobject_metadata m
  LEFT JOIN LATERAL (SELECT l.pageno::int8 * 2048 + pg_catalog.length(l.data) AS size
       FROM pg_catalog.pg_largeobject l WHERE l.loid = m.oid ORDER BY l.pageno DESC LIMIT 1) s ON true
 ORDER BY 1
