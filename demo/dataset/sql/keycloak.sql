-- An identity server's database: many users and credentials, and events that outgrow both.
-- step: tables
SET ROLE keycloak;
CREATE TABLE realm (
    id varchar(36) PRIMARY KEY,
    name varchar(255) NOT NULL UNIQUE,
    enabled boolean NOT NULL DEFAULT true,
    access_token_lifespan interval NOT NULL DEFAULT '00:05:00',
    password_policy varchar(2550)
);
CREATE TABLE client (
    id varchar(36) PRIMARY KEY,
    realm_id varchar(36) NOT NULL,
    client_id varchar(255) NOT NULL,
    redirect_uris text[] NOT NULL DEFAULT '{}',
    secret varchar(255),
    attributes jsonb NOT NULL DEFAULT '{}',
    UNIQUE NULLS NOT DISTINCT (realm_id, client_id)
);
CREATE TABLE keycloak_role (
    id varchar(36) PRIMARY KEY,
    realm_id varchar(36) NOT NULL,
    name varchar(255) NOT NULL,
    description varchar(255)
);
CREATE TABLE user_entity (
    id varchar(36) NOT NULL,
    email varchar(255),
    email_constraint varchar(255) GENERATED ALWAYS AS (lower(email)) STORED,
    email_verified boolean NOT NULL DEFAULT false,
    enabled boolean NOT NULL DEFAULT false,
    first_name varchar(255),
    last_name varchar(255),
    realm_id varchar(36) NOT NULL,
    username varchar(255) NOT NULL,
    created_timestamp bigint,
    not_before integer NOT NULL DEFAULT 0
);
CREATE TABLE credential (
    id varchar(36) NOT NULL,
    salt bytea,
    type varchar(255) NOT NULL,
    user_id varchar(36) NOT NULL,
    created_date bigint,
    user_label varchar(255),
    secret_data text,
    credential_data text,
    priority integer
);
CREATE TABLE user_attribute (
    id bigint GENERATED ALWAYS AS IDENTITY (START WITH 1000 INCREMENT BY 7 CACHE 20),
    user_id varchar(36) NOT NULL,
    name varchar(255) NOT NULL,
    value varchar(255)
);
CREATE TABLE user_role_mapping (user_id varchar(36) NOT NULL, role_id varchar(36) NOT NULL);
CREATE TABLE event_entity (
    id varchar(36) NOT NULL,
    client_id varchar(255),
    details_json text,
    error varchar(255),
    ip_address inet,
    realm_id varchar(255),
    session_id varchar(255),
    event_time bigint NOT NULL,
    type varchar(255),
    user_id varchar(255)
);
CREATE TABLE admin_event_entity (
    id serial PRIMARY KEY,
    admin_event_time timestamptz NOT NULL,
    realm_id varchar(36),
    operation_type varchar(255),
    representation jsonb
);
CREATE UNLOGGED TABLE offline_user_session (
    user_session_id varchar(36) PRIMARY KEY,
    user_id varchar(36),
    last_refresh integer NOT NULL DEFAULT 0,
    data text
);
CREATE TABLE databasechangelog (
    id varchar(255) NOT NULL,
    author varchar(255) NOT NULL,
    dateexecuted timestamp NOT NULL,
    orderexecuted integer NOT NULL,
    md5sum char(35)
);
CREATE TABLE databasechangeloglock (id integer PRIMARY KEY, locked boolean NOT NULL, lockedby varchar(255));

-- step: realms and clients
INSERT INTO realm VALUES
    ('00000000-0000-4000-8000-000000000001', 'master', true, '00:01:00', NULL),
    ('00000000-0000-4000-8000-000000000002', 'kecp', true, '00:05:00', 'length(12) and notUsername(undefined)'),
    ('00000000-0000-4000-8000-000000000003', '파트너 "외부"', false, '1 mon 2 days 03:04:05.678', '');
INSERT INTO client
SELECT md5('client' || i)::uuid::text, '00000000-0000-4000-8000-00000000000' || (1 + i % 3),
    (ARRAY['account', 'security-admin-console', 'kohub-frontend', 'kusthub-frontend', 'kohub-backend', 'broker'])[1 + i % 6] || '-' || i / 6,
    ARRAY['https://platform.example.com/' || i || '/*', NULL, 'http://localhost:3000/*'],
    CASE WHEN i % 2 = 0 THEN md5('not a real secret' || i) END,
    jsonb_build_object('pkce.code.challenge.method', 'S256', 'backchannel.logout', i % 2 = 0, 'order', i)
FROM generate_series(1, 48) AS i;
INSERT INTO keycloak_role
SELECT md5('role' || i)::uuid::text, '00000000-0000-4000-8000-00000000000' || (1 + i % 3), 'role-' || i,
    CASE WHEN i % 3 = 0 THEN '역할 ' || i END
FROM generate_series(1, 60) AS i;
INSERT INTO databasechangelog
SELECT '1.' || i / 10 || '.0-' || i, 'keycloak', timestamp '2024-03-01' + i * interval '1 second', i, '9:' || md5(i::text)
FROM generate_series(1, 140) AS i;
INSERT INTO databasechangeloglock VALUES (1, false, NULL), (1000, false, NULL), (1001, true, '운영 서버 (10.0.0.4)');

-- step: users
INSERT INTO user_entity (id, email, email_verified, enabled, first_name, last_name, realm_id, username, created_timestamp)
SELECT md5('user' || i)::uuid::text,
    CASE WHEN i % 11 > 0 THEN 'User.' || i || '@' || (ARRAY['Example.com', 'kecp.example.kr', 'partner.example.org'])[1 + i % 3] END,
    i % 3 > 0, i % 50 > 0,
    (ARRAY['민준', '서연', '도윤', '하은', 'Anna', 'José', 'O''Neil', '지호'])[1 + pg_temp.pick(i, 1) % 8],
    (ARRAY['김', '이', '박', '최', 'Müller', 'Smith', '정'])[1 + pg_temp.pick(i, 2) % 7],
    '00000000-0000-4000-8000-00000000000' || CASE WHEN i % 40 = 0 THEN 1 WHEN i % 13 = 0 THEN 3 ELSE 2 END,
    'user' || i, 1700000000000 + i * 997
FROM generate_series(1, pg_temp.scaled(30000)) AS i;

-- step: credentials
INSERT INTO credential
SELECT md5('credential' || i)::uuid::text, CASE WHEN i % 4 = 0 THEN decode(md5('salt' || i), 'hex') END,
    CASE WHEN i % 9 = 0 THEN 'otp' ELSE 'password' END, md5('user' || i)::uuid::text, 1700000000000 + i * 997,
    CASE WHEN i % 9 = 0 THEN '내 휴대폰' END,
    '{"value":"' || encode(sha512(int8send(i)), 'base64') || '","salt":"' || encode(sha224(int8send(i)), 'base64') || '","additionalParameters":{}}',
    '{"hashIterations":210000,"algorithm":"pbkdf2-sha512","additionalParameters":{}}', 10
FROM generate_series(1, pg_temp.scaled(30000)) AS i;

-- step: attributes
INSERT INTO user_attribute (user_id, name, value)
SELECT md5('user' || 1 + i % pg_temp.scaled(30000))::uuid::text, (ARRAY['locale', 'phone', '부서', 'employee number'])[1 + i % 4],
    CASE i % 4 WHEN 0 THEN 'ko' WHEN 1 THEN '010-' || 1000 + i % 9000 || '-' || 1000 + i * 7 % 9000 WHEN 2 THEN '플랫폼 운영팀' END
FROM generate_series(1, pg_temp.scaled(25000)) AS i;
INSERT INTO user_role_mapping
SELECT md5('user' || i)::uuid::text, md5('role' || 1 + pg_temp.pick(i, 3) % 60)::uuid::text
FROM generate_series(1, pg_temp.scaled(30000)) AS i;

-- step: events
INSERT INTO event_entity
SELECT md5('event' || i)::uuid::text, (ARRAY['kohub-frontend', 'kusthub-frontend', 'account', 'broker'])[1 + pg_temp.pick(i, 4) % 4],
    '{"auth_method":"openid-connect","redirect_uri":"https://platform.example.com/auth/realms/kecp/broker/' || i % 31
        || '","consent":"no_consent_required","code_id":"' || md5('code' || i) || '","username":"user' || pg_temp.pick(i, 5) % 30000 || '"}',
    CASE WHEN i % 17 = 0 THEN 'invalid_user_credentials' END,
    inet '10.0.0.0' + (pg_temp.pick(i, 6) % 16777216), 'kecp', md5('session' || i / 5)::uuid::text, 1720000000000 + i * 4201,
    CASE WHEN i % 17 = 0 THEN 'LOGIN_ERROR' ELSE (ARRAY['LOGIN', 'CODE_TO_TOKEN', 'REFRESH_TOKEN', 'LOGOUT'])[1 + i % 4] END,
    md5('user' || 1 + pg_temp.pick(i, 5) % 30000)::uuid::text
FROM generate_series(1, pg_temp.scaled(66000)) AS i;
INSERT INTO admin_event_entity (admin_event_time, realm_id, operation_type, representation)
SELECT timestamptz '2024-07-01 00:00:00+00' + i * interval '97 minutes', 'kecp', (ARRAY['CREATE', 'UPDATE', 'DELETE', 'ACTION'])[1 + i % 4],
    jsonb_build_object('username', 'user' || i, 'requiredActions', jsonb_build_array('VERIFY_EMAIL', NULL, i), '이름', body)
FROM generate_series(1, pg_temp.scaled(2000)) AS i JOIN phrase ON n = i % pg_temp.phrases();
INSERT INTO offline_user_session
SELECT md5('session' || i)::uuid::text, md5('user' || i)::uuid::text, 1720000000 + i::integer, '{"notes":{"iss":"kecp"}}'
FROM generate_series(1, pg_temp.scaled(1500)) AS i;

-- step: indexes and constraints
ALTER TABLE user_entity ADD CONSTRAINT constraint_fb PRIMARY KEY (id);
ALTER TABLE credential ADD CONSTRAINT constraint_f PRIMARY KEY (id);
ALTER TABLE user_attribute ADD CONSTRAINT constraint_user_attribute_pk PRIMARY KEY (id);
ALTER TABLE user_role_mapping ADD CONSTRAINT constraint_c PRIMARY KEY (user_id, role_id);
ALTER TABLE event_entity ADD CONSTRAINT constraint_4 PRIMARY KEY (id);
ALTER TABLE user_entity ADD CONSTRAINT uk_ru8tt6t700s9v50bu18ws5ha6 UNIQUE (realm_id, username);
CREATE INDEX idx_user_email ON user_entity (email) WHERE email IS NOT NULL;
CREATE INDEX idx_user_lower_name ON user_entity (lower(first_name), realm_id DESC NULLS LAST) INCLUDE (username);
CREATE INDEX idx_event_time ON event_entity (realm_id, event_time);
CREATE INDEX idx_event_time_brin ON event_entity USING brin (event_time) WITH (pages_per_range = 32);
CREATE INDEX idx_user_attribute_user ON user_attribute USING hash (user_id);
ALTER TABLE client ADD FOREIGN KEY (realm_id) REFERENCES realm (id) ON DELETE CASCADE;
ALTER TABLE keycloak_role ADD FOREIGN KEY (realm_id) REFERENCES realm (id);
ALTER TABLE user_entity ADD FOREIGN KEY (realm_id) REFERENCES realm (id);
ALTER TABLE credential ADD CONSTRAINT fk_pfyr0glasqyl0dei3kl69r6v0 FOREIGN KEY (user_id) REFERENCES user_entity (id) DEFERRABLE INITIALLY DEFERRED;
ALTER TABLE user_attribute ADD FOREIGN KEY (user_id) REFERENCES user_entity (id) ON UPDATE CASCADE;
ALTER TABLE user_role_mapping ADD FOREIGN KEY (user_id) REFERENCES user_entity (id);
ALTER TABLE user_role_mapping ADD FOREIGN KEY (role_id) REFERENCES keycloak_role (id);
ALTER TABLE databasechangelog ADD CHECK (orderexecuted > 0);
ALTER TABLE realm CLUSTER ON realm_pkey;
ALTER TABLE event_entity ALTER COLUMN details_json SET STATISTICS 10, ALTER COLUMN user_id SET STATISTICS 500;
ALTER TABLE event_entity SET (autovacuum_vacuum_scale_factor = 0.05, fillfactor = 95);
CREATE STATISTICS event_type_error (ndistinct, dependencies, mcv) ON type, error FROM event_entity;
CREATE STATISTICS event_day ON (event_time / 86400000), type FROM event_entity;
COMMENT ON STATISTICS event_day IS 'a day and a type go together';

-- step: views, functions and grants
CREATE FUNCTION event_moment(event_entity) RETURNS timestamptz LANGUAGE sql STABLE AS
$$ SELECT pg_catalog.to_timestamp($1.event_time / 1000.0) $$;
CREATE VIEW active_user WITH (security_barrier) AS
    SELECT id, username, email, realm_id FROM user_entity WHERE enabled WITH LOCAL CHECK OPTION;
CREATE MATERIALIZED VIEW logins_per_day AS
    SELECT event_time / 86400000 AS day, type, count(*) AS events, count(DISTINCT user_id) AS users
    FROM event_entity GROUP BY 1, 2;
CREATE UNIQUE INDEX ON logins_per_day (day, type);
COMMENT ON TABLE user_entity IS 'Accounts. It''s "Keycloak''s" own layout, \with a backslash\';
COMMENT ON COLUMN user_entity.not_before IS 'seconds; 두 번째 줄:
a second line';
COMMENT ON CONSTRAINT constraint_fb ON user_entity IS 'the primary key';
COMMENT ON INDEX idx_event_time_brin IS 'small on purpose';
GRANT SELECT (id, username, realm_id), UPDATE (enabled) ON user_entity TO reporting;
GRANT SELECT ON event_entity, admin_event_entity TO platform_readonly WITH GRANT OPTION;
SET ROLE platform_readonly;
GRANT SELECT ON event_entity TO auditor; -- granted by platform_readonly, through its grant option
SET ROLE keycloak;
REVOKE EXECUTE ON FUNCTION event_moment(event_entity) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION event_moment(event_entity) TO reporting;
ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT SELECT ON TABLES TO platform_readonly;
ALTER DEFAULT PRIVILEGES REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC;
RESET ROLE;
CREATE TABLE "DBA notes" (id integer GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY, note text);
INSERT INTO "DBA notes" (note) VALUES ('owned by somebody else'), (NULL), (E'tab\there, newline\nthere, \\N is not NULL, \\. is not the end'), ('');
ALTER TABLE "DBA notes" OWNER TO "O'Brien ""the DBA""";
CREATE PUBLICATION keycloak_users FOR TABLE user_entity (id, username, realm_id) WHERE (realm_id <> ''), realm WITH (publish = 'insert');
COMMENT ON PUBLICATION keycloak_users IS 'for a reader that does not exist yet';

-- step: database settings
DO $$
BEGIN
    EXECUTE format('REVOKE CONNECT, TEMPORARY ON DATABASE %I FROM PUBLIC', current_database());
    EXECUTE format('GRANT CONNECT ON DATABASE %I TO reporting, platform_readonly', current_database());
    EXECUTE format('ALTER DATABASE %I SET timezone = ''UTC''', current_database());
    EXECUTE format('ALTER DATABASE %I SET bytea_output = ''escape''', current_database());
    EXECUTE format('ALTER ROLE keycloak IN DATABASE %I SET work_mem = ''16MB''', current_database());
END
$$;
-- step: statistics
ANALYZE;
