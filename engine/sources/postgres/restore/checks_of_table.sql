WITH RECURSIVE above AS (
    SELECT t::pg_catalog.regclass::pg_catalog.oid AS oid FROM pg_catalog.unnest(%(tables)s::pg_catalog.text[]) AS t
    UNION SELECT i.inhparent FROM above JOIN pg_catalog.pg_inherits i ON i.inhrelid = above.oid),
domains AS (
    SELECT a.atttypid AS oid FROM above JOIN pg_catalog.pg_attribute a ON a.attrelid = above.oid AND NOT a.attisdropped
    UNION SELECT t.typbasetype FROM domains JOIN pg_catalog.pg_type t ON t.oid = domains.oid AND t.typtype = 'd')
SELECT CASE WHEN k.conrelid <> 0 THEN 'TABLE ' || pg_catalog.concat(k.conrelid::pg_catalog.regclass)
            ELSE 'DOMAIN ' || pg_catalog.concat(k.contypid::pg_catalog.regtype) END,
       pg_catalog.quote_ident(k.conname), pg_catalog.pg_get_constraintdef(k.oid)
  FROM pg_catalog.pg_constraint k
 WHERE k.contype = 'c' AND (k.conrelid IN (SELECT oid FROM above) AND k.coninhcount = 0
    OR k.conrelid = 0 AND k.contypid IN (SELECT oid FROM domains))
 ORDER BY k.oid
