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
