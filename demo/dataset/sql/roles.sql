-- The roles of the platform. Safe to run again: a role that exists is only altered.
-- step: roles
DO $$
DECLARE
    wanted text;
BEGIN
    FOREACH wanted IN ARRAY ARRAY[
        'keycloak', 'kusthub', 'kohub', 'kusthub_app', 'kohub_app', 'platform_admin', 'platform_readonly',
        'reporting', 'auditor', 'O''Brien "the DBA"', '운영자', '--help'
    ] LOOP
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = wanted) THEN
            EXECUTE format('CREATE ROLE %I', wanted);
        END IF;
    END LOOP;
END
$$;

-- Verifiers of passwords nobody kept: the globals hold hashes, as on a real server, and they open nothing.
ALTER ROLE keycloak LOGIN PASSWORD 'SCRAM-SHA-256$4096:kPg3LZM9T9H9MR8LjNNqPQ==$b5eXJNbbIkoo8bQC7kFEZYNk+CxlhHkiTLhCUHjvHvc=:RdNvCV38blIlpx/bedwZDqCPRsiNGd6NfK/rvS/sL5Q=';
ALTER ROLE kusthub LOGIN PASSWORD 'SCRAM-SHA-256$4096:trOraaS81smvJ9b8znmtaA==$nJDnvxzijXOjuchpne9Ez4rkIidX6BymNmVOdf8zo7M=:/+oemG3kxpFz2iGmI9f1dOTUqni9ACx43IC8tfo4GfU=';
ALTER ROLE kohub LOGIN CONNECTION LIMIT 100;
ALTER ROLE kusthub_app LOGIN CONNECTION LIMIT 40;
ALTER ROLE kohub_app LOGIN NOINHERIT;
ALTER ROLE platform_admin CREATEDB CREATEROLE;
ALTER ROLE reporting LOGIN CONNECTION LIMIT 5 VALID UNTIL '2099-12-31 00:00:00+00';
ALTER ROLE auditor BYPASSRLS;
ALTER ROLE "O'Brien ""the DBA""" LOGIN CREATEDB;

ALTER ROLE reporting SET statement_timeout = '5min';
ALTER ROLE reporting SET search_path = '스키마', "$user", public;
ALTER ROLE auditor SET default_transaction_read_only = on;
ALTER ROLE "운영자" SET timezone = 'Asia/Seoul';
ALTER ROLE "O'Brien ""the DBA""" SET application_name = 'O''Brien "the DBA"';

COMMENT ON ROLE keycloak IS 'owns the identity database of the platform-ops demo'; -- how the loader knows its own server
COMMENT ON ROLE "운영자" IS '야간 운영자 (the operator at night)';
COMMENT ON ROLE "O'Brien ""the DBA""" IS 'a name with ''single'' and "double" quotes';

-- step: memberships
GRANT platform_readonly TO reporting, auditor;
GRANT platform_readonly TO platform_admin WITH ADMIN OPTION;
GRANT kohub TO kohub_app WITH INHERIT TRUE, SET FALSE;
GRANT kusthub TO kusthub_app;
GRANT pg_read_all_data TO auditor WITH INHERIT FALSE;
GRANT pg_monitor TO reporting;
SET ROLE platform_admin;
GRANT platform_readonly TO "운영자" WITH INHERIT FALSE; -- granted by platform_admin, not by the superuser
RESET ROLE;
GRANT SET ON PARAMETER log_min_duration_statement TO platform_admin;
