SELECT f.name FROM (SELECT DISTINCT ON (name) name, setting FROM pg_catalog.pg_file_settings
  ORDER BY name, seqno DESC) AS f
 WHERE pg_catalog.lower(f.name) NOT IN ('datestyle', 'timezone', 'log_timezone', 'default_text_search_config',
     'dynamic_shared_memory_type', 'autovacuum_worker_slots') AND f.name !~ '^lc_'
   AND (f.name, f.setting) NOT IN (('max_connections', '100'), ('shared_buffers', '128MB'),
     ('max_wal_size', '1GB'), ('min_wal_size', '80MB'))
UNION ALL SELECT 'pg_hba.conf' WHERE EXISTS (SELECT FROM pg_catalog.pg_hba_file_rules h
  WHERE h.error IS NULL AND (h.database NOT IN ('{all}', '{replication}') OR h.user_name <> '{all}'
     OR h.address NOT IN ('127.0.0.1', '::1')))
UNION ALL SELECT 'pg_ident.conf' WHERE EXISTS (SELECT FROM pg_catalog.pg_hba_file_rules h
  WHERE pg_catalog.array_to_string(h.options, ' ') ~ 'map=')
