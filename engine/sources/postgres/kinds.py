"""The kinds of set that a PostgreSQL server makes: one of all of it, and one of each database."""

from __future__ import annotations

from typing import cast

from engine.config.settings import Retention
from engine.repository.body import Body
from engine.sources.kind import Kind
from engine.sources.postgres.facts import ClusterFacts, DatabaseFacts

CLUSTER = Kind("cluster", "cluster", ClusterFacts, Retention(days=30), named=False, max_age_hours=26)
"""All databases with the roles, as plain SQL. A day, and two hours for a slow run, is what one may be old."""
DATABASE = Kind("db", "database", DatabaseFacts, Retention(days=7))
"""One database, as an archive. The cluster set has it too, so nobody waits for this one."""


def facts_of(body: Body) -> ClusterFacts:
    """The facts of a set of either kind; raises as `Kind.facts_of`."""
    kind = DATABASE if body.kind == DATABASE.name else CLUSTER
    return cast(ClusterFacts, kind.facts_of(body))
