WITH RECURSIVE base(attrelid, attname, typ) AS (
    SELECT a.attrelid, a.attname, a.atttypid FROM pg_catalog.pg_attribute a
     WHERE a.attrelid = ANY (%s) AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated <> 'v'
    UNION ALL
    SELECT b.attrelid, b.attname, t.typbasetype FROM base b
      JOIN pg_catalog.pg_type t ON t.oid = b.typ AND t.typtype = 'd')
SELECT b.attrelid, b.attname, t.typname,
       t.oid < 10000 AND t.typtype = 'b' AND t.typcategory NOT IN ('A', 'G') AND t.typsend <> 0 AND t.typname !~ '^reg'
  FROM base b JOIN pg_catalog.pg_type t ON t.oid = b.typ
 WHERE t.typtype <> 'd'
 ORDER BY b.attrelid, b.attname COLLATE "C"
