-- One of each thing a restore may lose. Roles bob and "O'Hara" exist.
CREATE TYPE colour AS ENUM ('red', 'green');
CREATE DOMAIN positive AS int CONSTRAINT above CHECK (VALUE > 0);
CREATE TABLE item (
    id int PRIMARY KEY, name text NOT NULL, price numeric, weight float8 DEFAULT 1, note text, colour colour, code varchar(9) CHECK (code IN ('a', 'b')),
    total numeric GENERATED ALWAYS AS (price * 2) STORED
);
INSERT INTO item (id, name, price, weight, note, colour, code) VALUES
    (1, 'one', 1.0, '-0', NULL, 'red', 'a'), (2, 'two', 2.50, 0.1, 'x', 'green', 'b'), (3, 'three', 1.0, 'NaN', 'y', 'red', NULL);
CREATE TABLE plain (n int, t text); INSERT INTO plain VALUES (1, 'x'), (2, 'x'), (3, 'y'), (3, 'y');
CREATE TABLE pairs (a int, b int, words text[]); INSERT INTO pairs VALUES (1, 2, '{a,b}'), (3, 4, '[0:1]={a,b}');
CREATE TABLE line (id int GENERATED ALWAYS AS IDENTITY, item int REFERENCES item, n positive); INSERT INTO line (item, n) VALUES (1, 1);
CREATE TABLE listed (k text, v int) PARTITION BY LIST (k);
CREATE TABLE listed_a PARTITION OF listed FOR VALUES IN ('a'); CREATE TABLE listed_rest PARTITION OF listed DEFAULT;
INSERT INTO listed VALUES ('a', 1), ('b', 2);
CREATE TABLE hashed (c colour) PARTITION BY HASH (c);
CREATE TABLE hashed_0 PARTITION OF hashed FOR VALUES WITH (MODULUS 2, REMAINDER 0); CREATE TABLE hashed_1 PARTITION OF hashed FOR VALUES WITH (MODULUS 2, REMAINDER 1);
INSERT INTO hashed VALUES ('red'), ('green'), ('green');
CREATE TABLE parent (a int); CREATE TABLE child (b int) INHERITS (parent); INSERT INTO parent VALUES (1); INSERT INTO child VALUES (2, 3);
CREATE UNLOGGED TABLE unlogged AS SELECT 1 AS a;
CREATE SCHEMA "DATA"; CREATE TABLE "DATA".noted (id int NOT NULL, t text DEFAULT 'd');
CREATE SCHEMA "SET"; CREATE SEQUENCE "SET".counter;
CREATE SEQUENCE ticket INCREMENT 5; SELECT nextval('ticket'); CREATE SEQUENCE untouched;
CREATE INDEX by_name ON item (name); CREATE STATISTICS known (ndistinct) ON name, price FROM item; CREATE UNIQUE INDEX by_note ON item (note);
ALTER TABLE item REPLICA IDENTITY USING INDEX item_pkey, ALTER name SET STORAGE external, SET (fillfactor = 70);
CREATE FUNCTION twice(n int) RETURNS int LANGUAGE plpgsql AS $$
-- doubles

BEGIN
  RETURN n * 2;
END $$;
CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NEW; END $$;
CREATE TRIGGER touched BEFORE INSERT ON item FOR EACH ROW EXECUTE FUNCTION touch();
CREATE FUNCTION noted() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN NULL; END $$;
CREATE EVENT TRIGGER noting ON sql_drop EXECUTE FUNCTION noted();
CREATE RULE quiet AS ON DELETE TO plain DO INSTEAD NOTHING;
CREATE VIEW cheap AS SELECT * FROM item WHERE price < 2; CREATE MATERIALIZED VIEW counted AS SELECT count(*) FROM item;
ALTER TABLE item ENABLE ROW LEVEL SECURITY; CREATE POLICY mine ON item USING (name = current_user);
GRANT SELECT ON item TO bob; GRANT UPDATE (note) ON item TO "O'Hara"; GRANT EXECUTE ON FUNCTION pg_catalog.pg_ls_dir(text) TO bob;
ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO bob; ALTER TABLE plain OWNER TO bob;
COMMENT ON TABLE item IS 'things'; CREATE PUBLICATION news FOR TABLE item WHERE (id > 1);
CREATE ACCESS METHOD second_heap TYPE TABLE HANDLER heap_tableam_handler; CREATE EXTENSION vector;
SELECT lo_from_bytea(801, decode(repeat('0123456789abcdef', 150000), 'hex')); SELECT lo_create(802); COMMENT ON LARGE OBJECT 802 IS 'empty';
GRANT SELECT ON LARGE OBJECT 801 TO bob;
