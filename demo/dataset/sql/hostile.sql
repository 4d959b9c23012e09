-- A small database whose own name holds a space and a quote.
-- step: everything
CREATE SCHEMA "s p""q'r";
CREATE TABLE "s p""q'r"."t;drop table x" (id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY, "a""b" text, "c\d" text);
INSERT INTO "s p""q'r"."t;drop table x" ("a""b", "c\d") SELECT 'row ' || i, E'\\' || i FROM generate_series(1, pg_temp.scaled(2000)) AS i;
CREATE TYPE "s p""q'r"."e'num" AS ENUM ('it''s', '"quoted"', ' ', 'back\slash', '쉼,표');
CREATE TABLE "s p""q'r"."Table" (e "s p""q'r"."e'num", es "s p""q'r"."e'num"[]);
INSERT INTO "s p""q'r"."Table" SELECT e, ARRAY[e, NULL] FROM unnest(enum_range(NULL::"s p""q'r"."e'num")) AS e;
COMMENT ON TABLE "s p""q'r"."Table" IS $c$it's a 'comment' with $$ and \ and
-- a line that looks like SQL; DROP TABLE x;$c$;
CREATE VIEW "s p""q'r"."view'd" AS SELECT "a""b" AS "select", "c\d" AS "from" FROM "s p""q'r"."t;drop table x";
GRANT USAGE ON SCHEMA "s p""q'r" TO "--help";
GRANT SELECT ON "s p""q'r"."view'd" TO "O'Brien ""the DBA""" WITH GRANT OPTION;
DO $$
BEGIN
    EXECUTE format('ALTER DATABASE %I SET search_path = %L, public', current_database(), 's p"q''r');
    EXECUTE format('ALTER ROLE "--help" IN DATABASE %I SET application_name = ''--help''', current_database());
END
$$;
-- step: statistics
ANALYZE;
