-- All that belongs to a server and not to one database, under names that a careless tool trips over.
CREATE ROLE app LOGIN PASSWORD 'x'; CREATE ROLE "a b""c'd\e%"; CREATE ROLE "--help" ROLE app;
CREATE ROLE "two
CREATE ROLE lines;";
COMMENT ON ROLE app IS 'it''s
CREATE ROLE nobody;
a comment';
ALTER ROLE app SET application_name = 'x
CREATE ROLE nobody;';
ALTER ROLE ALL SET search_path = "$user", "A b", public; ALTER ROLE ALL SET work_mem = '5MB'; ALTER ROLE ALL SET myapp.note = 'it''s';
GRANT SET ON PARAMETER log_statement TO app WITH GRANT OPTION; SET ROLE app; GRANT SET ON PARAMETER log_statement TO PUBLIC; RESET ROLE;
COMMENT ON ROLE pg_monitor IS 'watches';
CREATE DATABASE closed TEMPLATE template0; CREATE DATABASE guarded TEMPLATE template0; CREATE DATABASE "--help" TEMPLATE template0;
CREATE DATABASE "two
lines" TEMPLATE template0;
CREATE DATABASE "a=b 'c' ""d\e%" TEMPLATE template0 CONNECTION LIMIT 0;
CREATE DATABASE bytes TEMPLATE template0 ENCODING SQL_ASCII LOCALE 'C'; CREATE DATABASE western TEMPLATE template0 ENCODING LATIN1 LOCALE 'C';
SET allow_in_place_tablespaces = on; CREATE TABLESPACE fast LOCATION '';
CREATE DATABASE placed TEMPLATE template0 TABLESPACE fast; CREATE TABLE in_fast (a int) TABLESPACE fast;
SELECT pg_create_physical_replication_slot('standby'); SELECT pg_replication_origin_create('elsewhere');
ALTER SYSTEM SET log_statement = 'ddl'; ALTER SYSTEM SET shared_buffers = '17MB';
GRANT CREATE ON DATABASE guarded TO app WITH GRANT OPTION; SET ROLE app; GRANT CREATE ON DATABASE guarded TO "--help"; RESET ROLE;
\connect bytes
SET client_encoding = 'SQL_ASCII';
CREATE TABLE t (a text); INSERT INTO t VALUES (E'\xff\xfe no text'), (E'\xed\x95\x9c');
\connect western
CREATE TABLE t (a text); INSERT INTO t VALUES ('é');
\connect guarded
CREATE TABLE t (a text[], i interval, m money);
INSERT INTO t VALUES (ARRAY['NULL', NULL], '-1 day +02:00', '12.34');
\connect postgres
ALTER DATABASE closed ALLOW_CONNECTIONS false;
ALTER DATABASE guarded SET IntervalStyle = sql_standard; ALTER DATABASE guarded SET array_nulls = off; ALTER DATABASE guarded SET default_transaction_read_only = on;
-- Last, since they hold for whoever connects from then on.
ALTER ROLE postgres SET default_transaction_read_only = on; ALTER ROLE postgres SET IntervalStyle = sql_standard;
