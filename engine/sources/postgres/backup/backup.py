"""Back up a database: its own set, and its part of the cluster set; at the end the cluster set itself."""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import chain
from typing import Any

from engine.errors import ItemGone, PlatformOpsError
from engine.progress import Progress
from engine.repository.body import FileEntry
from engine.repository.writing import SetWriter
from engine.sources.item import Run
from engine.sources.postgres.archive.plain_sql import SESSION_SETTINGS
from engine.sources.postgres.archive.service_extensions import named
from engine.sources.postgres.archive.sql_scanner import Doubt
from engine.sources.postgres.backup.dump import dump
from engine.sources.postgres.backup.survey import Surveyed
from engine.sources.postgres.backup.work import Work
from engine.sources.postgres.facts import ClusterFacts, DatabaseFacts
from engine.sources.postgres.proof.roles import Roles, read_roles
from engine.sources.postgres.proof.views import unread
from engine.sources.postgres.server.databases import DatabaseFound, was_dropped
from engine.sources.postgres.server.holds import OWN, holds_anything
from engine.sources.postgres.server.lock import WORKER
from engine.sources.postgres.server.snapshot import open_snapshot
from engine.sources.postgres.server.survey import survey_database
from engine.sources.postgres.server.table_locks import TableInTheWay, locks_given_back
from engine.sources.postgres.server.unreadable import unreadable
from engine.streams.spool import spool_folder

_GLOBALS = "000-globals"
_TRIES = 3
"""In so many snapshots is a database dumped where a table is in the way."""


def backup_database(
    surveyed: Surveyed, database: DatabaseFound, run: Run, out: SetWriter, progress: Progress
) -> DatabaseFacts:
    """Dump one database and prove the dump; store its set's files, and its part of the cluster set where there is one.

    Raises:
        ItemGone: it was dropped, which explains any other error.
        PlatformOpsError: one sentence; TransientFailure where a new try may help.
    """
    try:
        return _in_some_snapshot(lambda: Work(surveyed, database, run, out, progress))
    except PlatformOpsError:
        if was_dropped(surveyed.server, database):
            raise ItemGone(
                f"Database {database.name!r} of {surveyed.server.address} was dropped while the backup ran; no set of "
                "this run holds it, earlier ones do (`list` shows them)."
            ) from None
        raise


def _in_some_snapshot(work: Callable[[], Work]) -> DatabaseFacts:
    """Another snapshot where a table was in the way, and one without packing rows once where that was in doubt."""
    tries, once = _TRIES, True
    while True:
        tries -= 1
        try:
            return _backed_up(now := work(), once=once)
        except Doubt:
            once = False
            now.progress(f"dump {now.name} again: its rows cannot be packed once for both sets")
        except TableInTheWay as error:
            if not tries:
                raise
            now.progress(f"dump {now.name} again: {error}")


def _backed_up(work: Work, *, once: bool) -> DatabaseFacts:
    server, out = work.surveyed.server, work.out
    with open_snapshot(server, work.name, WORKER) as snapshot, spool_folder() as folder:
        with locks_given_back(snapshot.connection):
            work.unreadable = unreadable(snapshot.connection, work.name, server.settings.user)
            found = survey_database(snapshot.connection, work.name)
            roles = read_roles(snapshot.connection, passwords=work.surveyed.facts.passwords)
            spare = work.name in OWN and not holds_anything(snapshot.connection)
        dump(work, snapshot, folder, once=once)
        held = snapshot.held_seconds
    assert work.proof is not None  # noqa: S101 - join saw it end
    proof = work.proof.model_dump_json().encode()
    out.add(work.proof_name, proof, "proof", work.name)
    _add_globals(work.surveyed, out, roles)
    if work.shared is not None:
        work.shared.add(work.shared_proof_name, proof, "proof", work.name)
    sentences = tuple(f"{work.name}: {line}" for line in (*work.unreadable.sentences(), *named(found.extensions)))
    omitted = (*sentences, *found.missing, *unread(work.proof))
    out.missing += (*work.surveyed.facts.passwords_missing, *omitted, *found.alone)
    out.sample_percent = server.settings.proof_sample_percent
    return DatabaseFacts(
        **_server_facts(work.surveyed),
        extensions={work.name: found.extensions},
        collations={work.name: found.collations},
        snapshot_seconds={work.name: held},
        spare=(work.name,) if spare else (),
        left_out=omitted,
        tables_proven=len(work.proof.tables),
        rows=work.proof.rows,
        large_objects=len(work.proof.large_objects),
        dump_bytes=work.meter.bytes,
    )


def close_cluster(surveyed: Surveyed, run: Run, out: SetWriter) -> ClusterFacts:
    """Store the roles of all databases' parts, and say what the whole lacks."""
    facts = [one.facts for one in run.stored if isinstance(one.facts, DatabaseFacts)]
    out.missing += (
        *surveyed.facts.passwords_missing,
        *surveyed.facts.missing,
        *(f"database {item.name}: {item.skipped}" for item in run.items if item.skipped),
        *chain.from_iterable(one.left_out for one in facts),
    )
    out.sample_percent = surveyed.server.settings.proof_sample_percent
    _add_globals(surveyed, out, None)
    return ClusterFacts(
        **_server_facts(surveyed),
        extensions=_merged(one.extensions for one in facts),
        collations=_merged(one.collations for one in facts),
        snapshot_seconds=_merged(one.snapshot_seconds for one in facts),
        spare=tuple(chain.from_iterable(one.spare for one in facts)),
    )


def _merged(parts: Any) -> dict[str, Any]:
    return {name: value for part in parts for name, value in part.items()}


def _add_globals(surveyed: Surveyed, out: SetWriter, seen: Roles | None) -> tuple[FileEntry, FileEntry]:
    """Store the roles as SQL, and the proof of them. `seen` are the roles in the snapshot that was dumped."""
    roles, text = surveyed.globals.read(surveyed.server, surveyed.tools, WORKER, seen)
    proof = json.dumps({name: role.model_dump() for name, role in roles.items()}, ensure_ascii=False)
    return (
        out.add(f"{_GLOBALS}.sql", SESSION_SETTINGS + text, "globals"),
        out.add(f"{_GLOBALS}.proof.json", proof.encode(), "proof"),
    )


def _server_facts(surveyed: Surveyed) -> dict[str, Any]:
    facts, tools = surveyed.facts, surveyed.tools
    return {
        "server_version": facts.version,
        "client_version": ".".join(str(part) for part in tools.version),
        "image": tools.host.image,
        "system_identifier": facts.system_identifier,
        "superuser": facts.superuser,
        "roles": facts.roles,
        "settings": facts.settings,
        "passwords": facts.passwords,
    }
