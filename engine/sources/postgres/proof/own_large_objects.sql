-- As large_objects.sql, read piece by piece: what comes before the first piece that is not full is all of it.
SELECT m.oid::pg_catalog.int8, pg_catalog.pg_get_userbyid(m.lomowner),
       (SELECT pg_catalog.string_agg(pg_catalog.concat(x.item), ' ' ORDER BY pg_catalog.concat(x.item) COLLATE "C")
          FROM pg_catalog.unnest(COALESCE(m.lomacl, pg_catalog.acldefault('L', m.lomowner))) AS x(item)),
       COALESCE(pg_catalog.obj_description(m.oid, 'pg_largeobject'), ''), p.size, p.hash
  FROM pg_catalog.pg_largeobject_metadata m
  CROSS JOIN LATERAL (
    WITH RECURSIVE piece(o, size, hash) AS (
        SELECT 0::int8, pg_catalog.length(d), pg_catalog.hash_record_extended(ROW(pg_catalog.record_send(ROW(0::int8, d))), 0)
          FROM (SELECT pg_catalog.lo_get(m.oid, 0, 1048576) AS d) AS first
        UNION ALL
        SELECT o + 1048576, pg_catalog.length(d),
               pg_catalog.hash_record_extended(ROW(pg_catalog.record_send(ROW(o + 1048576, d))), 0)
          FROM (SELECT o, pg_catalog.lo_get(m.oid, o + 1048576, 1048576) AS d FROM piece WHERE size = 1048576 OFFSET 0) AS next)
    SELECT COALESCE(pg_catalog.sum(size), 0)::int8 AS size,
           COALESCE(pg_catalog.sum(hash) FILTER (WHERE size > 0), 0) AS hash FROM piece) AS p
 ORDER BY 1
