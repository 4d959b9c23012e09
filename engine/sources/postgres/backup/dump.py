"""Read one database once: out of its snapshot come the dump, the plain SQL and the proof.

pg_dump writes an uncompressed custom archive. It becomes the database set's file and, through
`pg_restore --file=-`, the cluster set's plain SQL (see `outputs`); beside it the proof is taken in
the same snapshot. A file gets its name only when every program before it has ended well.
"""

from __future__ import annotations

import re
import tempfile
from functools import partial
from pathlib import Path

from engine.errors import TransientFailure
from engine.progress import Throttled
from engine.repository.writing import SetWriter
from engine.sources.postgres.archive import archive
from engine.sources.postgres.archive.names import plain_name
from engine.sources.postgres.archive.plain_sql import SESSION_SETTINGS, body_marker
from engine.sources.postgres.archive.splice import Composed
from engine.sources.postgres.archive.sql_scanner import Doubt
from engine.sources.postgres.archive.toc import NUMBER
from engine.sources.postgres.backup.outputs import packed_apart, packed_once
from engine.sources.postgres.backup.work import Work
from engine.sources.postgres.programs import commands
from engine.sources.postgres.proof.take_proof import take_proof
from engine.sources.postgres.server.lock import WORKER
from engine.sources.postgres.server.raw_text import to_text
from engine.sources.postgres.server.server import another_server
from engine.sources.postgres.server.snapshot import Snapshot
from engine.sources.postgres.server.table_locks import DumpedTables, TableInTheWay, in_the_way
from engine.streams.pipeline import Pipeline
from engine.streams.process import Process


def dump(work: Work, snapshot: Snapshot, folder: Path, *, once: bool) -> None:
    """Store the dump and the SQL; `work` gets the proof. `folder` is for what must be on disk.

    `once`: rows are packed once for both sets, where that is certain.

    Raises:
        Doubt: they cannot be, which turned out on the way.
        TableInTheWay: a table is being changed; another snapshot is likely to do.
        PlatformOpsError: what went wrong first; nothing half-written has a name.
    """
    dump: Process | None = None
    try:
        with Pipeline() as pipeline:
            dump = _pg_dump(work, pipeline, snapshot)
            _store(work, snapshot, pipeline, dump, folder, once=once)
    except TransientFailure as error:
        server, refused = work.surveyed.server, dump is not None and dump.popen.returncode
        if refused and _NO_SNAPSHOT.search(str(error)):
            raise another_server(server.address) from None
        if refused and _IN_THE_WAY.search(str(error)):
            raise in_the_way(server, work.name, str(error)) from None
        raise


_NO_SNAPSHOT = re.compile(r"invalid snapshot identifier|snapshot .* does not exist")
"""What pg_dump says of a snapshot that its server has not (from 17 on in other words); the session that has it is open."""

_IN_THE_WAY = re.compile(
    r"canceling statement due to (?:statement|lock) timeout|relation .* does not exist|could not open relation with OID"
    r"|cache lookup failed"
)
"""What pg_dump says of a table that another session has locked or dropped (it locks under a statement_timeout)."""


def _store(work: Work, snapshot: Snapshot, pipeline: Pipeline, dump: Process, folder: Path, *, once: bool) -> None:
    settings = work.surveyed.server.settings
    tick = Throttled(work.progress)
    composed = None
    with tempfile.TemporaryDirectory(dir=folder) as own:
        head = archive.head_of(dump, Path(own), work.surveyed.programs, settings.stall_minutes * 60)
        tables = DumpedTables(
            snapshot.connection,
            work.name,
            settings.lock_wait_seconds,
            lambda: dump.popen.poll() is None,
            work.unreadable.oids,
        )
        pipeline.run(partial(_prove, work, snapshot, head, tables), "proof", silent=True)
        plan = head.data_plan() if once and work.shared is not None else None
        with head.path.open("rb") as kept:
            preamble = _preamble(work, work.shared, head) if work.shared is not None else b""
            if work.shared is None or plan is None:
                packed_apart(work, pipeline, dump, kept, work.shared, preamble)
            else:
                composed = packed_once(work, work.shared, pipeline, dump, kept, preamble, plan)
            pipeline.join(
                work.meter,
                settings.stall_minutes * 60,
                on_tick=lambda: _watch(work, snapshot, tick),
            )
    if composed is not None and plan is not None:
        _check(work, composed)


def _pg_dump(work: Work, pipeline: Pipeline, snapshot: Snapshot) -> Process:
    surveyed = work.surveyed
    host = surveyed.tools.host
    argv = commands.dump_argv(
        surveyed.tools.folder,
        work.name,
        snapshot.id,
        surveyed.server.settings.lock_wait_seconds,
        compress=1 if host.crosses_network else 0,
        unreadable=work.unreadable,
    )
    program = host.stream(argv, env=surveyed.server.dump_variables(WORKER, snapshot.encoding))
    return pipeline.add(program, name=f"pg_dump of {work.name!r}{host.note}")


def _check(work: Work, composed: Composed) -> None:
    """That what was composed is what was read, told from two sides: the archive's size and the proof's rows.

    Raises:
        Doubt: the size is another; a second dump gives the right one.
        TableInTheWay: the rows are others than the snapshot's; only a new snapshot can tell which are right.
    """
    # Pieces of another length are all that may differ: each has its length before it.
    if (work.meter.bytes - composed.archive_bytes) % NUMBER.size:
        raise Doubt(f"The archive of {work.name!r} is not as long as it was read.")
    assert work.proof is not None  # noqa: S101 - join saw it end
    for (schema, name), rows in composed.rows.items():
        table = plain_name(to_text(schema), to_text(name))
        proven = work.proof.tables.get(table)
        if proven is not None and proven.rows != rows:
            raise TableInTheWay(
                f"The dump of database {work.name!r} has {rows:,} rows of {table} where its proof counted "
                f"{proven.rows:,}; it was not kept. Run the backup again."
            )


def _preamble(work: Work, shared: SetWriter, head: archive.Head) -> bytes:
    """What stands before the contents in the SQL: it makes the database and connects to it."""
    existing = work.name in ("postgres", "template1")
    connect = f"\\connect {work.name}\n".encode() if existing else b""
    made = head.preamble(create=not existing, settings=SESSION_SETTINGS)
    return connect + made + body_marker(shared.key.set_id)


def _prove(work: Work, snapshot: Snapshot, head: archive.Head, tables: DumpedTables) -> None:
    percent = work.surveyed.server.settings.proof_sample_percent
    work.proof = take_proof(
        snapshot.connection,
        work.name,
        head.schema(),
        head.sequences(),
        sample_percent=percent,
        guarded=tables,
        unreadable=work.unreadable,
    )


def _watch(work: Work, snapshot: Snapshot, tick: Throttled) -> None:
    tick(f"dump {work.name}", work.meter.bytes, 0)
    limit = work.surveyed.server.settings.snapshot_limit_minutes
    if snapshot.held_seconds > limit * 60:
        raise TransientFailure(
            f"The snapshot of database {work.name!r} was held longer than {limit:g} minutes and was given up "
            "(it holds back vacuum); raise snapshot_limit_minutes or look at why the dump is slow."
        )
