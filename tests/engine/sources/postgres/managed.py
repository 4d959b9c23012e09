"""A server as a managed service gives it: the superuser is the service's, and its customer has a master role with RDS's rights."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from engine.hosts.settings import HostSettings
from engine.sources.postgres.scratch.instance import Instance
from engine.sources.postgres.scratch.scratch import scratch_server
from engine.sources.postgres.server.server import Server
from engine.sources.postgres.settings import ServerSettings
from tests.conftest import LIVE
from tests.engine.sources.postgres.backups import execute, run_script

SERVICE = """
CREATE ROLE rds_superuser;
GRANT pg_monitor, pg_signal_backend, pg_checkpoint TO rds_superuser WITH ADMIN OPTION;
GRANT SET ON PARAMETER session_replication_role TO rds_superuser;
CREATE ROLE rds_password;
CREATE ROLE rds_replication;
CREATE ROLE master LOGIN CREATEDB CREATEROLE PASSWORD 'of the master' VALID UNTIL 'infinity';
GRANT rds_superuser, rds_password TO master WITH ADMIN OPTION;
ALTER ROLE rdsadmin SET log_statement TO 'all';
CREATE DATABASE rdsadmin;
REVOKE CONNECT ON DATABASE rdsadmin FROM PUBLIC;
ALTER DATABASE postgres OWNER TO master;
"""
"""RDS's rds_superuser has pg_read_all_data too, and its PostgreSQL keeps pg_authid even from who has that. Stock PostgreSQL
does not, so here who shall not read passwords is given what it may read in other ways."""

APPLICATION = """
CREATE ROLE app LOGIN PASSWORD 'of the app' CONNECTION LIMIT 20;
CREATE ROLE readers;
GRANT readers TO app WITH ADMIN OPTION;
GRANT app TO master;
GRANT pg_monitor TO app;
ALTER ROLE app SET work_mem TO '8MB';
COMMENT ON ROLE app IS 'the shop';
CREATE DATABASE shop OWNER app;
CREATE DATABASE closed;
REVOKE CONNECT ON DATABASE closed FROM PUBLIC;
GRANT CONNECT ON DATABASE shop TO readers;
ALTER ROLE app IN DATABASE shop SET statement_timeout TO '1min';
"""
OF_THE_APP = """
SET ROLE app;
CREATE SCHEMA orders;
GRANT USAGE ON SCHEMA orders TO readers;
CREATE TABLE orders.item (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, told text, at timestamptz DEFAULT now());
INSERT INTO orders.item (told) SELECT md5(g::text) FROM generate_series(1, 2000) g;
GRANT SELECT ON orders.item TO readers;
CREATE MATERIALIZED VIEW orders.totals AS SELECT left(told, 1) AS letter, count(*) AS items FROM orders.item GROUP BY 1;
CREATE TABLE orders.line (item int REFERENCES orders.item, amount numeric) PARTITION BY RANGE (item);
CREATE TABLE orders.line_1 PARTITION OF orders.line FOR VALUES FROM (0) TO (5000);
INSERT INTO orders.line SELECT g, g / 7.0 FROM generate_series(1, 2000) g;
ALTER TABLE orders.item ENABLE ROW LEVEL SECURITY;
CREATE POLICY mine ON orders.item FOR SELECT TO readers USING (told > '8');
SELECT lo_from_bytea(4711, 'of the app');
SELECT lo_from_bytea(4712, decode(repeat('ab', 2 * 1048576), 'hex')), lo_create(4713);
RESET ROLE;
"""
OF_THE_SERVICE = """
CREATE FOREIGN DATA WRAPPER nowhere;
CREATE SERVER elsewhere FOREIGN DATA WRAPPER nowhere;
CREATE USER MAPPING FOR app SERVER elsewhere OPTIONS (password 'canary-of-the-mapping');
CREATE SUBSCRIPTION feed CONNECTION 'host=nowhere' PUBLICATION p WITH (connect = false);
CREATE SCHEMA kept;
CREATE TABLE kept.secret (a int);
CREATE TABLE kept.detail (b int);
CREATE VIEW kept.shown AS SELECT a FROM kept.secret;
CREATE VIEW kept.shown_twice AS SELECT a FROM kept.shown;
CREATE SEQUENCE kept.number START 5;
SELECT nextval('kept.number'), nextval('kept.number');
GRANT USAGE ON SCHEMA kept TO master;
"""


@contextmanager
def rds_like(major: int, **settings: str) -> Iterator[Instance]:
    """A running server whose first superuser is `rdsadmin`."""
    with scratch_server(major, superuser="rdsadmin", settings=LIVE | settings) as server:
        run_script(server, "postgres", SERVICE)
        yield server


def as_role(instance: Instance, role: str = "master", name: str = "rds", **settings: Any) -> Server:
    """How the engine sees it as its customer."""
    place = {"host": str(instance.socket), "port": instance.port} | settings
    return Server(name, ServerSettings(user=role, store="nightly", **place), HostSettings())


def as_master(instance: Instance, database: str, *statements: str) -> list[tuple[Any, ...]]:
    """Run statements as the customer; the rows of the last one."""
    return execute(replace(instance, superuser="master"), database, *statements)
