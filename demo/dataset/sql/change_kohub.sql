-- A day at the code hub.
INSERT INTO code.audit_event (at, actor, action, ip, payload)
SELECT latest + i * interval '1 second', 'dev-1', 'git.push', '172.16.0.1', jsonb_build_object('ref', 'refs/heads/main', 'i', i)
FROM (SELECT max(at) AS latest FROM code.audit_event) AS known, generate_series(1, 400) AS i;
INSERT INTO code.issue (repository_id, number, title, author_id, severity, opened)
SELECT 1, latest + i, '새 이슈 ' || i, 1, 'high', timestamptz '2025-01-01 00:00:00+00' + i * interval '1 hour'
FROM (SELECT max(number) AS latest FROM code.issue) AS known, generate_series(1, 12) AS i;
UPDATE code.repository SET stars = stars + 1 WHERE id <= 5;
UPDATE code.issue SET closed = opened + interval '3 days' WHERE closed IS NULL AND number <= (SELECT min(number) + 20 FROM code.issue WHERE closed IS NULL);
DELETE FROM code.search_cache WHERE key IN (SELECT key FROM code.search_cache ORDER BY key LIMIT 3);
INSERT INTO code.build SELECT max(id) + 1, 'running', NULL, '' FROM code.build;
REFRESH MATERIALIZED VIEW code.top_ten;
