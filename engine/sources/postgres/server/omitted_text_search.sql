SELECT pg_catalog.quote_ident(c.cfgname) FROM pg_catalog.pg_ts_config c
  JOIN pg_catalog.pg_ts_config_map m ON m.mapcfg = c.oid JOIN pg_catalog.pg_ts_dict d ON d.oid = m.mapdict
 WHERE c.oid < 16384 GROUP BY c.cfgname
HAVING pg_catalog.count(*) <> 19 OR pg_catalog.bool_or(m.mapseqno <> 1 OR d.dictname <> ALL (CASE
   WHEN c.cfgname = 'simple' OR m.maptokentype NOT IN (1, 2, 10, 11, 16, 17) THEN ARRAY['simple']
   WHEN m.maptokentype IN (2, 10, 17) THEN ARRAY[c.cfgname || '_stem']
   ELSE ARRAY[c.cfgname || '_stem', 'english_stem'] END)) ORDER BY 1
