"""Many small databases in one backup run: what one costs, and that a thousand cost a thousand times that."""

from __future__ import annotations

import json
import subprocess

from psycopg import sql

from bench.figures import Figure
from bench.testbed import Testbed, running
from bench.timing import MeasureError, report

_TABLES = """
CREATE TABLE account (id integer PRIMARY KEY, name text NOT NULL UNIQUE, created timestamptz NOT NULL);
CREATE TABLE entry (id bigserial PRIMARY KEY, account_id integer NOT NULL REFERENCES account, amount numeric(12, 2), note text);
CREATE INDEX ON entry (account_id);
INSERT INTO account SELECT i, 'account ' || i, timestamptz '2024-01-01 00:00:00+00' + i * interval '1 hour' FROM generate_series(1, 100) AS i;
INSERT INTO entry (account_id, amount, note) SELECT 1 + i % 100, i / 8.0, md5(i::text) FROM generate_series(1, 1000) AS i;
CREATE VIEW total AS SELECT account_id, sum(amount) FROM entry GROUP BY 1;
"""
_TEMPLATE = "small_template"


def measure(counts: tuple[int, int]) -> list[Figure]:
    """Figure 8: the seconds per database at both counts, and their ratio."""
    few, many = counts
    with running(Testbed(1, "small"), keep=False) as testbed:
        _make_template(testbed)
        at_few = _seconds_each(testbed, few)
        at_many = _seconds_each(testbed, many)
    commands = (
        f".venv/bin/python -m bench --only databases{' --large' if many >= 1000 else ''}",
        "# seconds of the whole backup run ÷ databases, with five tables, indexes and a view in each",
    )
    return [
        Figure(f"{many:,} small databases, each", at_many, "s", "<=", None, None, commands),
        Figure(
            f"one of {many:,} small databases ÷ one of {few:,}",
            at_many / at_few,
            "",
            "<=",
            1.1,
            1.0,
            commands,
        ),
    ]


def _make_template(testbed: Testbed) -> None:
    with testbed.connect() as admin:
        admin.execute(f"CREATE DATABASE {_TEMPLATE}".encode())
    with testbed.connect(_TEMPLATE) as connection:
        connection.execute(_TABLES.encode())


def _seconds_each(testbed: Testbed, count: int) -> float:
    """Make as many databases as are missing, back all of them up once."""
    wanted = [f"small_{number:04d}" for number in range(count)]
    present = set(testbed.databases())
    with testbed.connect() as admin:
        for name in wanted:
            if name not in present:
                admin.execute(
                    sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(sql.Identifier(name), sql.Identifier(_TEMPLATE))
                )
        admin.execute("CHECKPOINT")
    testbed.clear_store()
    seconds = _run(testbed)
    databases = len(testbed.databases()) + 1  # template1 is read too
    report(f"{databases} databases: {seconds:.1f} s, {seconds / databases:.3f} s each")
    return seconds / databases


def _run(testbed: Testbed) -> float:
    """What the backup run says it took: without the start of the program, which does not grow."""
    done = subprocess.run(
        ["platformctl", "--json", "backup"], env=testbed.environment, capture_output=True, check=False
    )
    if done.returncode:
        raise MeasureError(f"the backup run of many databases ended with {done.returncode}")
    return float(json.loads(done.stdout)["result"]["seconds"])
