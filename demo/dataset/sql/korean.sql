-- A small database whose every name is Hangul.
-- step: everything
SET ROLE "운영자";
CREATE TABLE "당직" ("날짜" date PRIMARY KEY, "담당" text NOT NULL, "메모" text);
COMMENT ON TABLE "당직" IS '야간 당직 기록';
INSERT INTO "당직" SELECT date '2024-01-01' + i, (ARRAY['김하늘', '이바다', '박노을'])[1 + i % 3], CASE WHEN i % 5 = 0 THEN '특이 사항 없음 ' || i END
FROM generate_series(0, 365) AS i;
CREATE TYPE "상태" AS ENUM ('정상', '경고', '장애');
CREATE TABLE "점검" ("번호" serial PRIMARY KEY, "날짜" date REFERENCES "당직" ("날짜"), "결과" "상태" NOT NULL DEFAULT '정상');
INSERT INTO "점검" ("날짜", "결과") SELECT date '2024-01-01' + (i % 366)::integer, (enum_range(NULL::"상태"))[1 + i % 3] FROM generate_series(1, pg_temp.scaled(2000)) AS i;
CREATE VIEW "장애만" AS SELECT * FROM "점검" WHERE "결과" = '장애';
GRANT SELECT ("번호", "결과") ON "점검" TO platform_readonly;
RESET ROLE;
-- step: statistics
ANALYZE;
