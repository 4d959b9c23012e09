-- All that has made a correct restore look wrong, or a wrong one right. Roles bob and "O'Hara" exist.
CREATE TYPE mood AS ENUM ('sad', 'it''s', '"ok"');
ALTER TYPE mood ADD VALUE 'first' BEFORE 'sad';
CREATE TYPE pair AS (gone int, a numeric, b text, m mood[]);
ALTER TYPE pair DROP ATTRIBUTE gone;
CREATE TYPE moods AS RANGE (subtype = mood);
CREATE DOMAIN whole AS int CHECK (VALUE < 1000000);
CREATE DOMAIN smaller AS whole CHECK (VALUE < 1000);
CREATE DOMAIN cents AS numeric(10, 2);
CREATE DOMAIN fuzzy AS float8;
CREATE DOMAIN mooded AS mood NOT NULL;
CREATE DOMAIN list AS text[];
CREATE DOMAIN duo AS pair;
CREATE DOMAIN span AS int4range;

-- Values whose text or binary form is not what it seems.
CREATE TABLE odd (
    f8 float8, f4 float4, fs float8[], n numeric, ns numeric[], c char(8), v varchar(8), t text, b bytea,
    j json, jb jsonb, d date, ts timestamp, tz timestamptz, tt timetz, i interval, u uuid, m money, x bit(3), xs varbit,
    ip inet, net cidr, p point, cir circle, poly polygon, box box, tv tsvector, tq tsquery, lsn pg_lsn, o oid,
    rc regclass, rt regtype, rts regtype[], ch "char", na name, s pg_snapshot, jp jsonpath,
    e mood, es mood[], pa pair, pas pair[], r int4range, nr numrange, tr tstzrange, mr int4multirange, er moods, erm moods_multirange,
    w whole, sm smaller, ce cents, fu fuzzy, mo mood, li list, du duo, sp span, a2 int[][], vi oidvector
);
INSERT INTO odd (f8, f4, fs, n, ns) VALUES
    ('inf'::float8 - 'inf'::float8, 'inf'::float4 - 'inf'::float4, ARRAY['inf'::float8 - 'inf'::float8, '-0', 'NaN'], 'NaN', '{1.0,1.00,NULL}'),
    ('NaN', 'NaN', '[-2:0]={0,-0,5e-324}', '1.0', '{}'),
    ('-0', '-0', NULL, '1.00', '[5:5]={-0.000}'),
    ('0', '0', '{}', '0.000', NULL),
    (0.1, 0.1, '{0.30000000000000004}', 'Infinity', '{1e-50}'),
    ('-inf', 1.17549435e-38, '{1.7976931348623157e308}', 1e100, '{1e20,-1}');
INSERT INTO odd (c, v, t, b, j, jb, jp) VALUES
    ('a', 'a ', '', '\x', '{"b":1, "a" : 1.0,"a":2}', '{"b":1, "a" : 1.00,"a":2.50}', '$.a[*] ? (@ > 1)'),
    ('a  ', 'a  ', E'\\N', '\x5c4e00ff', 'null', 'null', NULL),
    ('', '', E'tab\t nl\n cr\r bs\b \\ "q" ''s'' \u200b\U0001F600', '\x', '"\\u0000"', '[1,[2,{"k":null}]]', 'strict $'),
    (NULL, NULL, NULL, NULL, NULL, NULL, NULL), (NULL, NULL, '', NULL, NULL, NULL, NULL), (NULL, NULL, '', NULL, NULL, NULL, NULL);
INSERT INTO odd (d, ts, tz, tt, i, m) VALUES
    ('0044-03-15 BC', '-infinity', 'infinity', '24:00:00-15:59', '-1 mon +2 days -03:04:05.000006', '-12.34'),
    ('5874897-12-31', '294276-12-31 23:59:59.999999', '1890-01-01 00:00:00 Asia/Seoul', '00:00:00.000001+00:00:01', '1 year -1 day', '92233720368547758.07'),
    ('02-01-03', '2000-01-01', '2024-03-31 02:30 Europe/Berlin', '12:00', '-1 year -2 mons', 0);
INSERT INTO odd (u, x, xs, ip, net, p, cir, poly, box, tv, tq, lsn, o, rc, rt, rts, ch, na, s) VALUES
    ('a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', B'101', B'', '192.168.0.1/24', '192.168.0.0/24', '(NaN,-0)', '<(0,0),1e-300>', '((0,0),(1,-0))', '(1,1),(0,0)',
     'a:1A fat:2B,4C cat:5', 'a <-> (b & !c:AB*)', '16/B374D848', 4294967295, 'odd', 'mood', '{mood,int4}', 'x', repeat('n', 63), '10:20:10,14'),
    (NULL, B'000', B'00000001', '::1', '::/0', NULL, NULL, NULL, NULL, '', '''it''''s''', '0/0', 0, 'pg_class', 'mood[]', '{}', '', '', NULL);
INSERT INTO odd (e, es, pa, pas, r, nr, tr, mr, er, erm) VALUES
    ('first', '[0:2]={sad,NULL,first}', ROW(1.50, 'q"(),', '{sad}'), ARRAY[ROW(NULL, '', NULL)::pair, NULL], '[1,5]', '(1.0,1.00]', '[2024-01-01 00:00+09,)', '{[1,2],[5,7)}', '[sad,"it''s"]', '{[first,sad)}'),
    ('it''s', '{}', ROW(NULL, NULL, NULL), '{}', 'empty', '(,)', 'empty', '{}', '(,)', '{}');
INSERT INTO odd (w, sm, ce, fu, mo, li, du, sp, a2, vi) VALUES
    (1, 2, 3, 'inf'::float8 - 'inf'::float8, 'sad', '{"a,b",NULL,"NULL",""}', ROW(1.0, 'x', '{"it''s"}'), '[1,2)', '[1:1][-2:-1]={{1,2}}', '1 2 3'),
    (NULL, NULL, 3.10, '-0', NULL, '{}', NULL, NULL, '{}', '');
-- The same array with a bitmap of NULLs and without one.
CREATE TABLE bitmap AS SELECT ARRAY[1, 2] AS a, ARRAY['x'] AS t UNION ALL SELECT ARRAY[1, NULL, 2], ARRAY['x', NULL];
UPDATE bitmap SET a[2] = 2 WHERE a[2] IS NULL;
UPDATE bitmap SET t = t[1:1];

-- Shapes.
CREATE TABLE no_columns ();
INSERT INTO no_columns DEFAULT VALUES; INSERT INTO no_columns DEFAULT VALUES;
CREATE TABLE twice (a int, b text);
INSERT INTO twice VALUES (1, 'x'), (1, 'x'), (1, 'x'), (NULL, NULL), (NULL, NULL);
DO $$ BEGIN
    EXECUTE (SELECT 'CREATE TABLE widest (' || string_agg(format('c%s smallint', i), ', ') || ')' FROM generate_series(1, 1600) AS i);
    EXECUTE (SELECT 'INSERT INTO widest VALUES (' || string_agg(i::text, ', ') || '), (' || string_agg('NULL', ', ') || ')' FROM generate_series(1, 1600) AS i);
END $$;
CREATE TABLE dropped (a int, b int, c int);
ALTER TABLE dropped DROP COLUMN b;
INSERT INTO dropped VALUES (1, 3);
ALTER TABLE dropped ADD COLUMN d text DEFAULT 'fast';
CREATE TABLE by_mood (m mood, n int) PARTITION BY HASH (m);
CREATE TABLE by_mood_0 PARTITION OF by_mood FOR VALUES WITH (MODULUS 3, REMAINDER 0);
CREATE TABLE by_mood_1 PARTITION OF by_mood FOR VALUES WITH (MODULUS 3, REMAINDER 1);
CREATE TABLE by_mood_2 PARTITION OF by_mood FOR VALUES WITH (MODULUS 3, REMAINDER 2) PARTITION BY LIST (m);
CREATE TABLE by_mood_2_any PARTITION OF by_mood_2 DEFAULT;
INSERT INTO by_mood SELECT m, i FROM unnest(enum_range(NULL::mood)) AS m, generate_series(1, 9) AS i;
CREATE TABLE by_time (at timestamptz, who text, b int) PARTITION BY RANGE (at);
CREATE TABLE by_time_other (b int, extra int, who text, at timestamptz);
ALTER TABLE by_time_other DROP COLUMN extra;
ALTER TABLE by_time ATTACH PARTITION by_time_other FOR VALUES FROM ('2024-01-01 00:00+09') TO ('2025-01-01 00:00+09');
CREATE TABLE by_time_any PARTITION OF by_time DEFAULT;
INSERT INTO by_time VALUES ('2024-06-01 00:00+09', 'in', 1), ('2030-06-01', 'out', 2);
CREATE TABLE parent (a int, b text NOT NULL, CONSTRAINT positive CHECK (a > 0));
CREATE TABLE child (own text, b text NOT NULL, c int GENERATED ALWAYS AS (length(own)) STORED, a int, CONSTRAINT positive CHECK (a > 0));
ALTER TABLE child INHERIT parent;
CREATE TABLE grandchild (late int) INHERITS (child);
ALTER TABLE parent ADD COLUMN later text DEFAULT 'x';
INSERT INTO parent VALUES (1, 'p'); INSERT INTO child (own, b, a) VALUES ('own', 'c', 2); INSERT INTO grandchild (own, b, a, late) VALUES ('g', 'g', 3, 4);

-- Names.
CREATE SCHEMA "DATA"; CREATE SCHEMA "SET"; CREATE SCHEMA "-"; CREATE SCHEMA "a.b""c'd\e%s"; CREATE SCHEMA "--help";
CREATE TABLE "DATA".looks_like_data (id int PRIMARY KEY, t text DEFAULT 'd');
INSERT INTO "DATA".looks_like_data VALUES (1);
CREATE SEQUENCE "SET".looks_like_a_set START 7;
CREATE TABLE "-"."LARGE OBJECT 1" (a int);
CREATE TABLE "a.b""c'd\e%s"."new
line; DROP TABLE odd; -- ""q"" 'q' \ %" ("co""l
umn" text, "%s" int, "\N" text, _r text, "t" text);
INSERT INTO "a.b""c'd\e%s"."new
line; DROP TABLE odd; -- ""q"" 'q' \ %" VALUES ('x', 1, '\N', 'y', 'z');
CREATE TABLE "--help"."_r" ("_r" int, record_send text, "*" int, ctid_ tid);
INSERT INTO "--help"."_r" VALUES (1, 'x', 2, '(1,2)');
CREATE TABLE t (t text); INSERT INTO t VALUES ('t');
CREATE FUNCTION record_send(anyelement) RETURNS bytea LANGUAGE sql AS $$ SELECT '\x00'::bytea $$;
CREATE FUNCTION "a.b""c'd\e%s"."f
n"(int) RETURNS int LANGUAGE plpgsql AS $$
-- a comment

/*
--
-- Name: parent; Type: TABLE; Schema: public; Owner: nobody
--

INHERITS (
SET default_tablespace = '';
--
-- PostgreSQL database dump complete
--
*/
begin
  return $1;

end
$$;

-- Sequences.
CREATE SEQUENCE never_called INCREMENT -3 MINVALUE -100 START -4;
CREATE SEQUENCE called CACHE 20 CYCLE MAXVALUE 50; SELECT nextval('called');
CREATE SEQUENCE "ba\\ck\sl'a""sh"; SELECT setval('"ba\\ck\sl''a""sh"', 42, false);
CREATE SEQUENCE "line
break"; SELECT setval('"line
break"', 9);
CREATE SEQUENCE "system_user" AS smallint;
CREATE TABLE counted (id bigint GENERATED ALWAYS AS IDENTITY (START 10 INCREMENT 5), n serial, t text);
INSERT INTO counted (t) VALUES ('a'), ('b');

-- Large objects: empty, of a few bytes, with a hole, above a mebibyte.
SELECT lo_create(801);
SELECT lo_from_bytea(802, '\x00ff5c');
SELECT lo_from_bytea(803, decode(repeat('0123456789abcdef', 150000), 'hex'));
SELECT lo_create(804); SELECT lo_put(804, 3000000, 'tail');
GRANT SELECT ON LARGE OBJECT 802 TO bob; ALTER LARGE OBJECT 803 OWNER TO "O'Hara"; COMMENT ON LARGE OBJECT 804 IS 'sparse';

-- Expressions that print otherwise after one restore, views, a stale and an empty materialized view.
CREATE TABLE shipment (
    id int PRIMARY KEY, status varchar(10) CHECK (status IN ('a', 'b')), code char(3) DEFAULT 'x' CHECK (code <> ALL (ARRAY['y', 'z'])),
    at timestamptz DEFAULT '2024-01-01 00:00 Asia/Seoul' CHECK (at > '2000-01-01 Asia/Seoul'), price money DEFAULT 12.5,
    CHECK ((status = 'a') = (id > 0) OR status IS NULL), took interval DEFAULT '-1 day +02:03', f float8 DEFAULT 0.1 + 0.2, x bytea DEFAULT '\x00ff'
);
INSERT INTO shipment (id, status) VALUES (1, 'a'), (2, 'a');
CREATE INDEX ON shipment (lower(status)) WHERE status IN ('a', 'b');
CREATE VIEW shipments AS SELECT s.*, CASE WHEN s.status IN ('a', 'b') THEN 1 END AS known FROM shipment s WHERE s.at BETWEEN '2001-01-01' AND now();
CREATE VIEW child_view AS SELECT c FROM child c;
CREATE MATERIALIZED VIEW stale AS SELECT count(*) FROM shipment;
INSERT INTO shipment (id) VALUES (0);
CREATE MATERIALIZED VIEW never_filled AS SELECT * FROM stale WITH NO DATA;
CREATE MATERIALIZED VIEW filled AS SELECT * FROM stale;
CREATE UNIQUE INDEX ON filled (count);
CREATE UNLOGGED TABLE unlogged AS SELECT 1 AS a;
CREATE ACCESS METHOD second_heap TYPE TABLE HANDLER heap_tableam_handler;
CREATE TABLE elsewhere (a int) USING second_heap; INSERT INTO elsewhere VALUES (1);

-- Row security that would hide rows, privileges of several grantors.
CREATE TABLE secret (who text, what text);
INSERT INTO secret VALUES ('bob', 'x'), ('eve', 'y');
ALTER TABLE secret ENABLE ROW LEVEL SECURITY; ALTER TABLE secret FORCE ROW LEVEL SECURITY; ALTER TABLE secret OWNER TO bob;
CREATE POLICY mine ON secret USING (who = current_user);
GRANT SELECT ON shipment TO bob WITH GRANT OPTION;
SET ROLE bob; GRANT SELECT ON shipment TO "O'Hara"; RESET ROLE;
GRANT UPDATE (status) ON shipment TO PUBLIC;
REVOKE EXECUTE ON FUNCTION pg_catalog.pg_ls_waldir() FROM pg_monitor;
GRANT EXECUTE ON FUNCTION pg_catalog.pg_ls_dir(text) TO bob;
ALTER DEFAULT PRIVILEGES FOR ROLE bob GRANT SELECT ON TABLES TO "O'Hara";
REVOKE ALL ON SCHEMA public FROM PUBLIC; ALTER SCHEMA public OWNER TO bob; COMMENT ON SCHEMA public IS 'not standard';

-- The rest of what a schema has.
CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NEW; END $$;
CREATE TRIGGER touched BEFORE INSERT ON shipment FOR EACH ROW EXECUTE FUNCTION touch();
CREATE TRIGGER off AFTER UPDATE ON shipment FOR EACH STATEMENT EXECUTE FUNCTION touch();
ALTER TABLE shipment DISABLE TRIGGER off;
CREATE FUNCTION noted() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN NULL; END $$;
CREATE EVENT TRIGGER noting ON ddl_command_end EXECUTE FUNCTION noted();
CREATE STATISTICS shipped (dependencies) ON id, status FROM shipment;
ALTER TABLE shipment ALTER COLUMN status SET STATISTICS 7;
CREATE PUBLICATION published FOR TABLE shipment (id, status) WHERE (id > 1);
CREATE FOREIGN DATA WRAPPER far; CREATE SERVER "far away" FOREIGN DATA WRAPPER far OPTIONS (host 'x''y');
CREATE USER MAPPING FOR bob SERVER "far away" OPTIONS (password 'canary');
CREATE EXTENSION vector; CREATE TABLE embedded (v vector(3)); INSERT INTO embedded VALUES ('[0.1,-0,1e-30]');
COMMENT ON TABLE odd IS E'a ''comment''\n--\n-- PostgreSQL database dump complete\n--\n\\connect postgres\n';
CREATE TEXT SEARCH CONFIGURATION plain (COPY = simple);
CREATE RULE gone AS ON DELETE TO twice DO INSTEAD NOTHING;
-- Expressions that depend on what is not built in, also where the server names things itself or a default stays away.
CREATE SCHEMA "o""p s"; CREATE FUNCTION "o""p s".alike(mood, mood) RETURNS bool LANGUAGE sql IMMUTABLE AS $$ SELECT $1::text = $2::text $$;
CREATE OPERATOR "o""p s".=== (LEFTARG = mood, RIGHTARG = mood, FUNCTION = "o""p s".alike);
CREATE COLLATION "o""p s".plain (provider = libc, locale = 'C'); CREATE DOMAIN happy AS mood CHECK (VALUE OPERATOR("o""p s".===) 'first' OR VALUE IN ('sad', 'first'));
CREATE FUNCTION mooded_by(m mood DEFAULT 'sad') RETURNS bool IMMUTABLE BEGIN ATOMIC SELECT m OPERATOR("o""p s".===) 'sad'::mood; END;
CREATE TABLE "felt ""by" (id int, at date, m mood CHECK (m IN ('sad', 'first')), h happy DEFAULT 'first', n text COLLATE "o""p s".plain, same bool GENERATED ALWAYS AS ("o""p s".alike(m, m)) STORED,
    v vector(3) DEFAULT '[1,2,3]', PRIMARY KEY (id, at), CHECK (m OPERATOR("o""p s".===) 'sad' OR mooded_by(m) OR n COLLATE "o""p s".plain > '')) PARTITION BY RANGE (at);
CREATE TABLE felt_early PARTITION OF "felt ""by" FOR VALUES FROM ('2000-01-01') TO ('2020-01-01');
CREATE TABLE felt_late (v vector(3), n text COLLATE "o""p s".plain, h happy, id int NOT NULL, at date NOT NULL, m mood, same bool GENERATED ALWAYS AS ("o""p s".alike(m, m)) STORED);
ALTER TABLE felt_late ADD CONSTRAINT "felt ""by_m_check" CHECK (m IN ('sad', 'first')), ADD CONSTRAINT "felt ""by_check" CHECK (m OPERATOR("o""p s".===) 'sad' OR mooded_by(m) OR n COLLATE "o""p s".plain > '');
ALTER TABLE "felt ""by" ATTACH PARTITION felt_late FOR VALUES FROM ('2020-01-01') TO ('2040-01-01');
CREATE INDEX ON "felt ""by" (mooded_by(m)) WHERE m OPERATOR("o""p s".===) 'sad'; CREATE INDEX near ON "felt ""by" USING hnsw (v vector_l2_ops);
CREATE TABLE feeling (id int, at date, FOREIGN KEY (id, at) REFERENCES "felt ""by") PARTITION BY LIST (id);
CREATE TABLE feeling_any (id int, at date, CONSTRAINT feeling_id_at_fkey CHECK (id > 0)); ALTER TABLE feeling ATTACH PARTITION feeling_any DEFAULT;
CREATE TRIGGER felt AFTER INSERT ON "felt ""by" FOR EACH ROW WHEN (NEW.m OPERATOR("o""p s".===) 'sad') EXECUTE FUNCTION touch();
CREATE STATISTICS felt_known ON mooded_by(m), id FROM felt_early; CREATE POLICY felt_mine ON "felt ""by" USING (mooded_by(m));
CREATE VIEW felt_sad AS SELECT f, f.m, 'sad'::mood AS is_sad, ARRAY['first'::mood] AS firsts FROM "felt ""by" f JOIN odd o ON o.e OPERATOR("o""p s".===) f.m WHERE f.m BETWEEN 'first' AND 'sad' GROUP BY 1, 2;
INSERT INTO "felt ""by" (id, at, m, n) VALUES (1, '2010-01-01', 'sad', 'x'), (2, '2030-01-01', 'first', 'y'); INSERT INTO feeling VALUES (1, '2010-01-01');
CREATE TABLE elder (m happy, v vector(3), t text); CREATE TABLE younger (own int) INHERITS (elder);
ALTER TABLE ONLY elder ALTER m SET DEFAULT 'sad', ALTER v SET DEFAULT '[1,2,3]', ALTER t SET DEFAULT 'x'; INSERT INTO younger (own) VALUES (1);
ALTER TABLE elder ADD CONSTRAINT alike CHECK (m OPERATOR("o""p s".===) m); CREATE INDEX failed_by ON elder (mooded_by(m));
UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'failed_by'::regclass;
-- A log of DDL, which a restore that refreshes views must not write to; a view over rows that only its owner sees.
CREATE TABLE ddl_log (tag text, at timestamptz DEFAULT now());
CREATE FUNCTION log_ddl() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO public.ddl_log (tag) VALUES (tg_tag); END $$;
CREATE MATERIALIZED VIEW mine_only AS SELECT who FROM secret; ALTER MATERIALIZED VIEW mine_only OWNER TO bob;
CREATE EVENT TRIGGER log_ddl ON ddl_command_end EXECUTE FUNCTION log_ddl();
CREATE TABLE logged (a int);
