"""Servers that are set so that a new one would be hard to fill: the drill fills it all the same."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from engine.sources.postgres.scratch.instance import Instance
from engine.sources.postgres.scratch.scratch import scratch_server
from tests.conftest import LIVE, MAJOR
from tests.engine.sources.postgres.backups import back_up, drill, execute, server_of, store_in

ODD = {
    # pg_dumpall's own statement passes as long as nothing has loaded plpgsql, whose prefix this is.
    "a reserved prefix": ("CREATE ROLE app", "ALTER ROLE app SET plpgsql.extra_warning = 'all'"),
    "a first superuser who may not log in": ("ALTER ROLE postgres NOLOGIN",),
}


@pytest.mark.parametrize("statements", ODD.values(), ids=ODD)
def test_it_is_drilled(statements: tuple[str, ...], tmp_path: Path) -> None:
    with scratch_server(MAJOR, settings=LIVE) as source:
        execute(source, "postgres", "CREATE ROLE admin SUPERUSER LOGIN", "CREATE DATABASE small")
        execute(
            source, "small", "CREATE TABLE t AS SELECT 1 AS a", "CREATE EXTENSION vector", "GRANT ALL ON t TO admin"
        )
        execute(source, "postgres", *statements)
        server = server_of(source)
        server = replace(server, settings=server.settings.model_copy(update={"user": "admin"}))
        made = back_up(server, store_in(tmp_path), ["small", "postgres", "template1"])
    for key in (made.cluster_key, made.key("small")):
        report = drill(made.repository, key)
        assert (report.result, report.differences) == ("passed", ()), report.sentence


def test_in_another_shell_than_the_backup(
    postgres_server: Instance, fresh_database: str, store_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Arrays are compared as text, which follows the time zone and the style of dates."""
    execute(
        postgres_server, fresh_database,
        "CREATE TABLE t (a timestamptz[], b date[], c interval[])",
        "INSERT INTO t VALUES ('{2024-01-01 20:00+00}', '{2024-02-03}', '{1 day 2 hours}')",
    )  # fmt: skip
    repository = store_in(store_folder)
    made = back_up(server_of(postgres_server), repository, [fresh_database], cluster=False)
    for name, value in {
        "PGTZ": "Asia/Seoul",
        "PGDATESTYLE": "German",
        "PGGEQO": "off",
        "PGSERVICE": "elsewhere",
    }.items():
        monkeypatch.setenv(name, value)
    report = drill(repository, made.key(fresh_database))
    assert (report.result, report.differences) == ("passed", ()), report.sentence
