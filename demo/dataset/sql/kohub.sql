-- A code hub: an audit trail by month that is most of it, repositories, issues, builds, and every type there is.
-- step: types and functions
CREATE SCHEMA code AUTHORIZATION kohub;
CREATE SCHEMA "스키마" AUTHORIZATION kohub;
COMMENT ON SCHEMA "스키마" IS '이름이 한글인 스키마; it''s fine';
SET ROLE kohub;
SET search_path = code;
CREATE TYPE code.severity AS ENUM ('low', 'medium', 'high', 'critical');
CREATE TYPE code.build_state AS ENUM ('queued', 'running', 'passed', 'failed', 'it''s "stuck"');
CREATE TYPE code.severity_range AS RANGE (subtype = code.severity);
CREATE FUNCTION code.time_gap(a time, b time) RETURNS double precision LANGUAGE sql IMMUTABLE STRICT AS $$ SELECT EXTRACT(epoch FROM a - b) $$;
CREATE TYPE code.time_range AS RANGE (subtype = time, subtype_diff = code.time_gap, multirange_type_name = code.opening_hours);
CREATE TYPE code.author AS (name text, email text, "signed off" boolean, worst code.severity);
CREATE DOMAIN code.slug AS text COLLATE "C" CHECK (VALUE ~ '^[a-z0-9][a-z0-9._-]*$');
CREATE DOMAIN code.sha AS char(40) CHECK (VALUE ~ '^[0-9a-f]{40}$');
CREATE DOMAIN code.labels AS text[] CHECK (cardinality(VALUE) < 10);
CREATE COLLATION code.plain (PROVIDER = libc, LOCALE = 'C');
CREATE FUNCTION code.severity_number(code.severity) RETURNS integer LANGUAGE sql IMMUTABLE STRICT AS
$$ SELECT CASE $1 WHEN 'low' THEN 1 WHEN 'medium' THEN 2 WHEN 'high' THEN 3 ELSE 4 END $$;
CREATE CAST (code.severity AS integer) WITH FUNCTION code.severity_number(code.severity) AS ASSIGNMENT;
CREATE FUNCTION code.same_author(code.author, code.author) RETURNS boolean LANGUAGE sql IMMUTABLE AS $$ SELECT lower($1.email) = lower($2.email) $$;
CREATE OPERATOR code.=~= (LEFTARG = code.author, RIGHTARG = code.author, FUNCTION = code.same_author, COMMUTATOR = OPERATOR(code.=~=));
COMMENT ON OPERATOR code.=~= (code.author, code.author) IS 'the same person, whatever the name';
CREATE FUNCTION code.keep_longer(text, text) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE AS
$$ SELECT CASE WHEN length($2) > length(coalesce($1, '')) THEN $2 ELSE $1 END $$;
CREATE AGGREGATE code.longest(text) (SFUNC = code.keep_longer, STYPE = text, COMBINEFUNC = code.keep_longer, PARALLEL = SAFE);
COMMENT ON AGGREGATE code.longest(text) IS 'the longest text';
CREATE FUNCTION code.far_cmp(integer, integer) RETURNS integer LANGUAGE sql IMMUTABLE STRICT AS $$ SELECT btint4cmp($1 % 1000, $2 % 1000) $$;
CREATE FUNCTION code.far_eq(integer, integer) RETURNS boolean LANGUAGE sql IMMUTABLE STRICT AS $$ SELECT $1 % 1000 = $2 % 1000 $$;
CREATE FUNCTION code.far_lt(integer, integer) RETURNS boolean LANGUAGE sql IMMUTABLE STRICT AS $$ SELECT $1 % 1000 < $2 % 1000 $$;
CREATE OPERATOR code.<% (LEFTARG = integer, RIGHTARG = integer, FUNCTION = code.far_lt);
CREATE OPERATOR code.=% (LEFTARG = integer, RIGHTARG = integer, FUNCTION = code.far_eq);
RESET ROLE;
CREATE AGGREGATE code.share_below(double precision ORDER BY anyelement) (SFUNC = ordered_set_transition, STYPE = internal, FINALFUNC = percentile_disc_final, FINALFUNC_EXTRA);
ALTER AGGREGATE code.share_below(double precision ORDER BY anyelement) OWNER TO kohub;
CREATE OPERATOR FAMILY code.remainder_ops USING btree;
CREATE OPERATOR CLASS code.remainder_ops FOR TYPE integer USING btree FAMILY code.remainder_ops AS
    OPERATOR 1 code.<% (integer, integer), OPERATOR 3 code.=% (integer, integer), FUNCTION 1 code.far_cmp(integer, integer);
ALTER OPERATOR FAMILY code.remainder_ops USING btree OWNER TO kohub;
ALTER OPERATOR CLASS code.remainder_ops USING btree OWNER TO kohub;
-- What only a superuser makes: a base type that borrows its functions, and is neither hashable nor sortable.
CREATE TYPE code.celsius;
CREATE FUNCTION code.celsius_in(cstring) RETURNS code.celsius LANGUAGE internal IMMUTABLE STRICT AS 'float8in';
CREATE FUNCTION code.celsius_out(code.celsius) RETURNS cstring LANGUAGE internal IMMUTABLE STRICT AS 'float8out';
CREATE TYPE code.celsius (INPUT = code.celsius_in, OUTPUT = code.celsius_out, LIKE = double precision);
CREATE CONVERSION code.old_mail FOR 'LATIN1' TO 'UTF8' FROM iso8859_1_to_utf8;
-- Its handler is a function of ours: pg_dump writes a language with a borrowed one so that it does not restore.
CREATE FUNCTION code.plsame_handler() RETURNS language_handler LANGUAGE c AS '$libdir/plpgsql', 'plpgsql_call_handler';
CREATE TRUSTED LANGUAGE plsame HANDLER code.plsame_handler;
COMMENT ON LANGUAGE plsame IS 'plpgsql under another name';
CREATE ACCESS METHOD steady TYPE TABLE HANDLER heap_tableam_handler;
CREATE TEXT SEARCH TEMPLATE code.as_it_is (INIT = dsimple_init, LEXIZE = dsimple_lexize);
CREATE TEXT SEARCH PARSER code.words (START = prsd_start, GETTOKEN = prsd_nexttoken, END = prsd_end, LEXTYPES = prsd_lextype);
GRANT USAGE ON LANGUAGE plsame TO kohub;
SET ROLE kohub;

-- step: tables
CREATE TABLE code.account (id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY, login code.slug NOT NULL UNIQUE, author code.author, joined date NOT NULL);
CREATE TABLE code.repository (
    id serial PRIMARY KEY,
    owner_id integer NOT NULL REFERENCES code.account (id),
    name code.slug NOT NULL,
    description text COLLATE code.plain,
    topics code.labels NOT NULL DEFAULT '{}',
    settings jsonb NOT NULL DEFAULT '{"visibility": "internal", "기본 브랜치": "main"}',
    stars integer NOT NULL DEFAULT 0,
    size_bytes bigint,
    full_name text GENERATED ALWAYS AS (owner_id || '/' || (name)::text) STORED,
    UNIQUE (owner_id, name)
);
CREATE TABLE code.issue (
    repository_id integer NOT NULL,
    number integer NOT NULL,
    title text NOT NULL,
    body text,
    author_id integer,
    assignees integer[],
    severity code.severity,
    accepted code.severity_range,
    opened timestamptz NOT NULL,
    closed timestamptz
);
CREATE TABLE code.commit_log (sha code.sha NOT NULL, repository_id integer NOT NULL, parents code.sha[], author code.author, at timestamptz(0), message text);
CREATE TABLE code.audit_event (
    id bigint GENERATED ALWAYS AS IDENTITY (INCREMENT BY 3),
    at timestamptz NOT NULL,
    actor text,
    action text NOT NULL,
    ip inet,
    payload jsonb
) PARTITION BY RANGE (at);
DO $$
BEGIN
    FOR month IN 1..6 LOOP
        EXECUTE format('CREATE TABLE code.audit_event_2024_%s PARTITION OF code.audit_event FOR VALUES FROM (%L) TO (%L)',
            lpad(month::text, 2, '0'), make_timestamptz(2024, month, 1, 0, 0, 0, 'UTC'), make_timestamptz(2024, month + 1, 1, 0, 0, 0, 'UTC'));
    END LOOP;
END
$$;
CREATE TABLE code.audit_event_later PARTITION OF code.audit_event DEFAULT;
CREATE TABLE code.build (id bigint NOT NULL, state code.build_state NOT NULL, took interval, log_tail text) PARTITION BY HASH (state);
CREATE TABLE code.build_0 PARTITION OF code.build FOR VALUES WITH (MODULUS 2, REMAINDER 0);
CREATE TABLE code.build_1 PARTITION OF code.build FOR VALUES WITH (MODULUS 2, REMAINDER 1);
CREATE TABLE code.webhook (id uuid NOT NULL, region text NOT NULL, url text, PRIMARY KEY (region, id)) PARTITION BY LIST (region);
CREATE TABLE code.webhook_kr PARTITION OF code.webhook FOR VALUES IN ('kr', '한국');
CREATE TABLE code.webhook_rest PARTITION OF code.webhook DEFAULT;
CREATE TABLE code.metric (name text, value double precision, small real, exact numeric, took interval, mask bit varying(12), "char" "char", padded char(8));
CREATE TABLE code.opening (day smallint, hours code.opening_hours, first code.time_range, during daterange, versions int4multirange, amounts numrange);
CREATE TABLE code.room (name text NOT NULL, warmth code.celsius) USING steady;
CREATE UNLOGGED TABLE code.search_cache (key text PRIMARY KEY, hit jsonb);
CREATE TABLE "스키마"."주문 내역 ""2024""" ("번호" bigserial PRIMARY KEY, "고객 이름" text, "it's" integer, "a,b;--" text, "$1" text, "%s" text, "  " text, "new
line" text);
CREATE TABLE "스키마"."--help" ("-x" integer, "Mixed Case" text, "user" text, "tab	bed" text);

-- step: accounts, repositories and issues
INSERT INTO code.account (login, author, joined)
SELECT 'dev-' || i, ROW((ARRAY['김코드', 'Ada "Countess" L.', 'O''Hara', NULL])[1 + i % 4], 'Dev' || i || '@Example.com', i % 2 = 0, (enum_range(NULL::code.severity))[1 + i % 5])::code.author,
    date '2020-01-01' + (i % 1500)::integer
FROM generate_series(1, pg_temp.scaled(1200)) AS i;
INSERT INTO code.repository (owner_id, name, description, topics, stars, size_bytes)
SELECT 1 + pg_temp.pick(i, 1) % pg_temp.scaled(1200), (ARRAY['api', 'web', 'infra', 'docs', 'billing'])[1 + i % 5] || '-' || i, body,
    (ARRAY['java', 'spring', 'react', '한글', 'a b'])[1 + i % 3:i % 6], (1e6 / (1 + i))::integer, pg_temp.pick(i, 2) % 10000000000
FROM generate_series(1, pg_temp.scaled(3000)) AS i JOIN phrase ON n = i % pg_temp.phrases();
INSERT INTO code.issue (repository_id, number, title, body, author_id, assignees, severity, accepted, opened, closed)
SELECT 1 + pg_temp.scaled(3000)::integer * (pg_temp.pick(i, 3) % 1000)::integer / 1000, i, left(p.body, 50), q.body || E'\n```\n' || md5(i::text) || E'\n```\r\n',
    1 + pg_temp.pick(i, 4) % pg_temp.scaled(1200), CASE i % 4 WHEN 0 THEN ARRAY[i::integer, NULL] WHEN 1 THEN '{}' WHEN 2 THEN '[2:3]={7,8}' END,
    (enum_range(NULL::code.severity))[1 + i % 5], CASE WHEN i % 3 = 0 THEN code.severity_range('low', 'high') END,
    timestamptz '2024-01-01' + i * interval '17 minutes', CASE WHEN i % 2 = 0 THEN timestamptz '2024-01-02' + i * interval '17 minutes' END
FROM generate_series(1, pg_temp.scaled(14000)) AS i
JOIN phrase AS p ON p.n = pg_temp.pick(i, 5) % pg_temp.phrases()
JOIN phrase AS q ON q.n = pg_temp.pick(i, 6) % pg_temp.phrases();
INSERT INTO code.commit_log
SELECT left(encode(sha256(int8send(i)), 'hex'), 40), 1 + pg_temp.pick(i, 7) % pg_temp.scaled(3000), ARRAY[left(encode(sha256(int8send(i - 1)), 'hex'), 40)]::code.sha[],
    ROW('dev ' || i % 1200, 'dev' || i % 1200 || '@example.com', NULL, NULL)::code.author, timestamptz '2024-01-01' + i * interval '211 seconds', body
FROM generate_series(1, pg_temp.scaled(18000)) AS i JOIN phrase ON n = pg_temp.pick(i, 8) % pg_temp.phrases();

-- step: audit events
INSERT INTO code.audit_event (at, actor, action, ip, payload)
SELECT timestamptz '2024-01-01 00:00:00+00' + i * interval '150 seconds' * (100000.0 / pg_temp.scaled(100000)), CASE WHEN i % 23 > 0 THEN 'dev-' || pg_temp.pick(i, 9) % 1200 END,
    (ARRAY['git.push', 'git.clone', 'repo.create', 'issue.close', 'member.add', 'token.use', '로그인'])[1 + pg_temp.pick(i, 10) % 7],
    inet '172.16.0.0' + pg_temp.pick(i, 11) % 1048576,
    jsonb_build_object('request_id', md5('request' || i)::uuid, 'repository', 'api-' || pg_temp.pick(i, 12) % 3000, 'ref', 'refs/heads/feature/' || pg_temp.pick(i, 13) % 900,
        'agent', 'git/2.' || i % 45, 'duration_ms', (pg_temp.pick(i, 14) % 100000) / 100.0, 'changes', jsonb_build_object('added', i % 90, 'removed', i % 40), 'note', substr(body, 1, 120))
FROM generate_series(1, pg_temp.scaled(100000)) AS i JOIN phrase ON n = pg_temp.pick(i, 15) % pg_temp.phrases();

-- step: builds and the small tables
INSERT INTO code.build SELECT i, (enum_range(NULL::code.build_state))[1 + i % 5],
    (ARRAY['-1 years -2 mons +3 days', '1 day -00:00:01', '00:00:00.000001', '178000000 years', '-00:00:00.5', NULL, '15 mons 40 days 25:00:00']::interval[])[1 + i % 7], E'line one\nline two\ttab \\ ' || i
FROM generate_series(1, pg_temp.scaled(20000)) AS i;
INSERT INTO code.webhook SELECT md5('hook' || i)::uuid, (ARRAY['kr', '한국', 'us', 'eu'])[1 + i % 4], 'https://hooks.example.com/' || i FROM generate_series(1, pg_temp.scaled(2000)) AS i;
INSERT INTO code.metric VALUES
    ('extremes', 1.7976931348623157e308, 3.4028235e38, 1.0, '1 mon', B'101', 'a', 'pad'), ('tiny', 5e-324, 1e-45, 1.00, '30 days', B'', '\200', 'pad  '),
    ('zero', 0, 0, 0, '0', B'000000000000', '', ''), ('minus zero', '-0', '-0', -0.000, '-0', NULL, NULL, NULL), ('nan', 'NaN', 'NaN', 'NaN', NULL, B'1', ' ', ' '),
    ('endless', 'Infinity', '-Infinity', '-Infinity', '720:00:00', NULL, 'z', '12345678'), ('third', 1.0 / 3, 0.1, 1e-16383, '-1 mon +30 days', NULL, NULL, '한글'),
    ('sum', 0.1::float8 + 0.2::float8, 16777217, 1.000000, '1 mon -30 days', NULL, NULL, NULL);
INSERT INTO code.metric SELECT m.* FROM code.metric AS m, generate_series(1, 2); -- each row three times
INSERT INTO code.opening VALUES (1, '{[09:00,12:00),[13:00,18:00)}', '[09:00,12:00)', '[2024-01-01,2024-02-01)', '{[1,3),[7,9)}', '(0.5,1.00]'),
    (7, '{}', 'empty', '(,2023-12-31]', NULL, '[1.0,)'), (0, NULL, NULL, '[2024-02-29,infinity)', '{(,)}', 'empty');
INSERT INTO code.room VALUES ('서버실', '21.5'), ('office', '-0'), ('office', NULL);
INSERT INTO code.search_cache SELECT 'q' || i, jsonb_build_object('hits', i) FROM generate_series(1, 500) AS i;
INSERT INTO "스키마"."주문 내역 ""2024""" ("고객 이름", "it's", "a,b;--", "$1", "%s", "  ", "new
line")
SELECT '고객 ' || i, i, '\N', '$$', '%', NULL, E'\\.' FROM generate_series(1, pg_temp.scaled(3000)) AS i;
INSERT INTO "스키마"."--help" VALUES (1, 'x', current_user, E'\t'), (NULL, NULL, NULL, NULL), (1, 'x', 'kohub', E'\t');

-- step: every type
CREATE TABLE code.every_type (
    id smallint PRIMARY KEY, b boolean, o oid, n name, x xid, x8 xid8, c cid, t tid, l pg_lsn, s pg_snapshot, cls regclass, typ regtype, rol regrole, nsp regnamespace,
    cfg regconfig, prc regprocedure, j json, jp jsonpath, p point, ln line, sg lseg, bx box, pa path, pg polygon, ci circle, v4 inet, net cidr, m macaddr, m8 macaddr8,
    bits bit(5), vbits varbit, d date, tm time(3), tmz timetz, ts timestamp, tsz timestamptz, tv tsvector, tq tsquery, u uuid, iv int2vector, ov oidvector, by bytea, a2 integer[][], ac code.author[], te text
);
INSERT INTO code.every_type VALUES
    (1, true, 4294967295, 'name', '7', '123456789012', '3', '(1,2)', '16/B374D848', '10:20:10,14,15', 'code.repository', 'code.author', 'reporting', '스키마', 'simple', 'lower(text)',
     '{"a": 1,  "a": 2.50, "b": null}', '$.a[*] ? (@ > 1)', '(1,2)', '{1,-1,0}', '[(0,0),(1,1)]', '(1,1),(0,0)', '((0,0),(1,1),(2,0))', '((0,0),(1,1),(2,0))', '<(1,2),3>', '10.1.2.3/8', '10.0.0.0/8',
     '08:00:2b:01:02:03', '08:00:2b:01:02:03:04:05', B'10101', B'1', 'infinity', '24:00:00', '23:59:59.999999+09:30', '-infinity', '0044-03-15 12:00:00+00 BC',
     'a:1A fat:2B,4C', 'fat & (rat:* | ''고양이'')', '00000000-0000-0000-0000-000000000000', '1 2 3', '1 2', '\x00ff', '{{1,2},{3,4}}', ARRAY[ROW('a', NULL, true, 'high')::code.author], E'\x01\x7f€𝄞'),
    (2, false, 0, '', NULL, NULL, NULL, NULL, '0/0', NULL, '"스키마"."--help"', 'integer[]', '"O''Brien ""the DBA"""', 'pg_catalog', NULL, NULL,
     '[1,2 ]', NULL, '(-0,NaN)', NULL, NULL, NULL, '[(0,0),(1,1)]', NULL, '<(0,0),0>', '::1', 'fe80::/10', NULL, NULL, B'00000', B'', '4713-01-01 BC', '00:00:00', '00:00:00-15:59', '294276-12-31 23:59:59.999999', 'infinity',
     '', '', NULL, '', '', '', '[0:1]={5,6}', '{}', ''),
    (3, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
DO $$
BEGIN
    EXECUTE 'CREATE TABLE code.wide_setting (' || (SELECT string_agg(format('%I %s', 'setting ' || i, (ARRAY['integer', 'text', 'boolean'])[1 + i % 3]), ', ' ORDER BY i) FROM generate_series(1, 300) AS i) || ')';
    INSERT INTO code.wide_setting ("setting 1", "setting 300") VALUES ('one', 7), (NULL, NULL);
END
$$;

-- step: indexes
ALTER TABLE code.issue ADD PRIMARY KEY (repository_id, number);
ALTER TABLE code.commit_log ADD PRIMARY KEY (sha);
ALTER TABLE code.audit_event ADD PRIMARY KEY (at, id);
CREATE INDEX audit_event_actor ON code.audit_event (actor, at);
CREATE INDEX audit_event_ref ON code.audit_event USING gin ((payload -> 'ref'));
CREATE INDEX issue_open ON code.issue (severity, opened DESC) WHERE closed IS NULL;
CREATE INDEX issue_words ON code.issue USING gin (to_tsvector('pg_catalog.simple', title));
CREATE INDEX repository_network ON code.every_type USING gist (v4 inet_ops);
CREATE INDEX every_point ON code.every_type USING spgist (p);
CREATE INDEX repository_remainder ON code.repository (stars code.remainder_ops);
CREATE UNIQUE INDEX account_mail ON code.account (((author).email) COLLATE code.plain);
ALTER INDEX code.repository_remainder SET (fillfactor = 80);

-- step: foreign keys
ALTER TABLE code.issue ADD FOREIGN KEY (repository_id) REFERENCES code.repository (id) ON DELETE CASCADE, ADD FOREIGN KEY (author_id) REFERENCES code.account (id);
ALTER TABLE code.commit_log ADD FOREIGN KEY (repository_id) REFERENCES code.repository (id) DEFERRABLE;
ALTER TABLE code.opening ADD CONSTRAINT one_period_at_a_time EXCLUDE USING gist (during WITH &&) DEFERRABLE INITIALLY DEFERRED;
CREATE STATISTICS code.issue_owner (dependencies) ON repository_id, author_id FROM code.issue;
CREATE STATISTICS "스키마"."통계" (mcv) ON "it's", "고객 이름" FROM "스키마"."주문 내역 ""2024""";

-- step: views and triggers
CREATE VIEW code.busy_repository AS SELECT r.full_name, count(*) AS issues, code.longest(i.title) AS longest_title FROM code.repository AS r JOIN code.issue AS i ON i.repository_id = r.id GROUP BY r.full_name;
CREATE VIEW code.same_people AS SELECT a.login, b.login AS also FROM code.account AS a JOIN code.account AS b ON a.author OPERATOR(code.=~=) b.author AND a.id < b.id;
CREATE MATERIALIZED VIEW code.repository_ranking AS SELECT id, full_name, stars, rank() OVER (ORDER BY stars DESC, id) AS place FROM code.repository;
CREATE UNIQUE INDEX ON code.repository_ranking (id);
CREATE MATERIALIZED VIEW code.top_ten AS SELECT full_name, place FROM code.repository_ranking WHERE place <= 10;
CREATE MATERIALIZED VIEW code.not_yet_filled AS SELECT action, count(*) AS events FROM code.audit_event GROUP BY action WITH NO DATA;
UPDATE code.repository SET stars = stars + 5 WHERE id % 2 = 0; -- the ranking is stale from here on
COMMENT ON MATERIALIZED VIEW code.repository_ranking IS 'refreshed when somebody thinks of it';
CREATE FUNCTION code.add_repository() RETURNS trigger LANGUAGE plpgsql SET search_path = code, pg_temp AS $$
BEGIN
    UPDATE repository SET description = NEW.longest_title WHERE full_name = OLD.full_name;
    RETURN NEW;
END
$$;
CREATE TRIGGER describe INSTEAD OF UPDATE ON code.busy_repository FOR EACH ROW EXECUTE FUNCTION code.add_repository();
CREATE FUNCTION code.audit_is_final() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'the audit trail is never changed'; END $$;
CREATE TRIGGER audit_is_final BEFORE UPDATE OR DELETE ON code.audit_event FOR EACH ROW EXECUTE FUNCTION code.audit_is_final();
CREATE FUNCTION code."이름 있는 함수"(VARIADIC "값들" integer[] DEFAULT '{}', OUT "합" bigint, OUT cnt integer) LANGUAGE sql IMMUTABLE AS $$ SELECT sum(v), count(*)::integer FROM unnest($1) AS v $$;
CREATE FUNCTION code.open_issues(repository integer) RETURNS TABLE (number integer, title text) LANGUAGE sql STABLE ROWS 50
BEGIN ATOMIC SELECT i.number, i.title FROM code.issue AS i WHERE i.repository_id = open_issues.repository AND i.closed IS NULL; END;
COMMENT ON FUNCTION code.open_issues(integer) IS E'a body that is parsed\nwhen it is created';

-- step: grants
GRANT USAGE ON SCHEMA code, "스키마" TO kohub_app, platform_readonly;
GRANT SELECT ON ALL TABLES IN SCHEMA code TO platform_readonly;
GRANT INSERT (title, body, author_id), UPDATE (title, closed) ON code.issue TO kohub_app;
GRANT SELECT ("번호", "고객 이름") ON "스키마"."주문 내역 ""2024""" TO "운영자", "--help";
GRANT ALL ON ALL SEQUENCES IN SCHEMA code TO kohub_app;
GRANT TRIGGER, TRUNCATE ON code.search_cache TO "O'Brien ""the DBA""" WITH GRANT OPTION;
REVOKE ALL ON code.wide_setting FROM kohub; -- even the owner may have lost his rights
ALTER DEFAULT PRIVILEGES IN SCHEMA code GRANT SELECT ON TABLES TO platform_readonly;
ALTER DEFAULT PRIVILEGES IN SCHEMA "스키마" GRANT ALL ON SEQUENCES TO "운영자" WITH GRANT OPTION;
ALTER TABLE code.account ENABLE ROW LEVEL SECURITY;
CREATE POLICY see_oneself ON code.account USING (login = CURRENT_USER);
RESET ROLE;
ALTER DEFAULT PRIVILEGES FOR ROLE kohub, platform_admin GRANT EXECUTE ON FUNCTIONS TO kohub_app;
ALTER TABLE "스키마"."--help" OWNER TO "--help";
ALTER TABLE code.webhook_rest OWNER TO "운영자"; -- a leaf of another owner
CREATE PUBLICATION everything FOR ALL TABLES WITH (publish = 'insert, truncate');

-- step: vectors, where the extension is installed
DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_available_extensions WHERE name = 'vector') THEN RETURN; END IF;
    CREATE EXTENSION vector SCHEMA public;
    CREATE TABLE code.snippet_embedding (id integer PRIMARY KEY, repository_id integer REFERENCES code.repository (id), embedding public.vector(8));
    INSERT INTO code.snippet_embedding
    SELECT i, 1 + i % pg_temp.scaled(3000), ARRAY(SELECT (pg_temp.pick(i, 100 + k) % 2001 - 1000) / 1000.0 FROM generate_series(1, 8) AS k)::public.vector(8)
    FROM generate_series(1, pg_temp.scaled(3000)) AS i;
    CREATE INDEX snippet_near ON code.snippet_embedding USING hnsw (embedding public.vector_cosine_ops);
    ALTER TABLE code.snippet_embedding OWNER TO kohub;
END
$$;

-- step: database settings
DO $$
BEGIN
    EXECUTE format('ALTER DATABASE %I SET search_path = code, "스키마", public', current_database());
    EXECUTE format('ALTER DATABASE %I SET default_statistics_target = 50', current_database());
    EXECUTE format('ALTER DATABASE %I SET "kohub.tenant" = ''it''''s "ours", 우리''', current_database());
    EXECUTE format('ALTER ROLE kohub IN DATABASE %I SET statement_timeout = ''30s''', current_database());
    EXECUTE format('ALTER ROLE reporting IN DATABASE %I SET search_path = code', current_database());
    EXECUTE format('GRANT CONNECT, TEMPORARY ON DATABASE %I TO "--help" WITH GRANT OPTION', current_database());
END
$$;
-- step: statistics
ANALYZE;
