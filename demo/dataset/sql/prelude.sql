-- What every loading session has and the loaded database keeps nothing of.
-- step: session
SET client_min_messages = warning;
SET synchronous_commit = off;
SET maintenance_work_mem = '128MB';
SET work_mem = '64MB';
SET timezone = 'UTC';
SET datestyle = 'ISO, YMD';
SET intervalstyle = 'postgres';
SELECT setseed(0.42);

-- The row count of a big table at this session's scale.
CREATE FUNCTION pg_temp.scaled(base bigint) RETURNS bigint LANGUAGE sql STABLE AS
$$ SELECT greatest(2, round(base * current_setting('demo.scale')::numeric))::bigint $$;

-- A number that looks random and is the same every time: not negative, different for each salt.
CREATE FUNCTION pg_temp.pick(i bigint, salt bigint) RETURNS bigint LANGUAGE sql IMMUTABLE AS
$$ SELECT hashint8extended(i, salt) & 9223372036854775807 $$;

CREATE TEMP TABLE phrase AS
SELECT n, string_agg(
    (ARRAY[
        '로그인', '오류가', '다시', '발생했습니다', '서버', '응답이', '느립니다', '확인', '부탁드립니다', '배포', '이후', '화면이',
        '비밀번호', '초기화', '요청', '권한이', '없습니다', '데이터베이스', '연결', '시간이', '초과되었습니다', '감사합니다',
        'the', 'request', 'failed', 'after', 'deploy', 'with', 'status', '502', 'timeout', 'while', 'reading', 'upstream',
        'please', 'check', 'user', 'cannot', 'sign', 'in', 'since', 'yesterday', 'see', 'attached', 'log', 'and', 'screenshot',
        'branch', 'merge', 'conflict', 'pipeline', 'is', 'red', 'rollback', 'done', 'cache', 'was', 'stale', 'retry', 'works',
        'token', 'expired', 'refresh', 'fails', 'on', 'mobile', 'Safari', 'only', 'reproduced', 'locally', 'fixed', 'in',
        'version', '2.4.1', 'thanks', 'for', 'report', 'customer', 'waits', 'urgent', 'invoice', 'PDF', 'is', 'empty'
    ])[1 + pg_temp.pick(n * 1000 + k, 7) % 84], ' ' ORDER BY k) AS body
FROM generate_series(0, 3999) AS n, generate_series(0, 15 + n % 40) AS k
WHERE n < least(4000, 100 + pg_temp.scaled(4000))
GROUP BY n;
CREATE UNIQUE INDEX ON phrase (n);
ANALYZE phrase;
SELECT set_config('demo.phrases', count(*)::text, false) FROM phrase; -- counting them for every row would be slow
CREATE FUNCTION pg_temp.phrases() RETURNS bigint LANGUAGE sql STABLE AS $$ SELECT current_setting('demo.phrases')::bigint $$;
GRANT SELECT ON phrase TO PUBLIC;
