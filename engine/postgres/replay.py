"""Play a stored set back into a server with the stock tools, checking the stored bytes on the way."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import IO, TypeVar

import psycopg
from pydantic import TypeAdapter, ValidationError

from engine.errors import CouldNotVerify, DamagedSet, OperationFailed
from engine.hosts.machine import in_time
from engine.postgres import archive, commands
from engine.postgres.database import create_database, drop_working, working_name
from engine.postgres.proof import DatabaseProof, DatabaseProperties, take_proof
from engine.postgres.roles import RoleProof
from engine.postgres.server import Server, failed
from engine.postgres.unchanged import EarlyProof, unchanged
from engine.progress import Progress, Throttled
from engine.sets.keys import SetKey
from engine.sets.manifest import Body, FileEntry
from engine.sets.reading import NoFittingKey, damaged, read_small, stored_pieces, wrong_key
from engine.sets.target import Target, needs_identities
from engine.streams.pipeline import Meter, Pipeline, Process, pump
from engine.streams.spool import spool_folder
from engine.streams.unpack import DAMAGED, WRONG_KEY, unpack_argv

_Parsed = TypeVar("_Parsed")
APPLICATION = "platform-ops restore"
STALL_SECONDS = 3600.0
"""When nothing has moved for so long, it is asked whether the server is at work: it may build an index."""


def play(
    target: Target,
    body: Body,
    file: FileEntry,
    argv: Sequence[str],
    environment: dict[str, str],
    progress: Progress,
    what: str,
    alive: Callable[[], bool],
) -> None:
    """Stream one stored file, unpacked, into a program's stdin.

    `alive`: whether the program's server is at work; asked when no byte has moved for long.

    Raises:
        DamagedSet: the stored bytes differ or are damaged, or the program refused them.
        CouldNotVerify: it cannot be decrypted here.
    """
    key = SetKey(body.server, body.database, body.set_id)
    meter, tick = Meter(), Throttled(progress)
    with _head_is_whole(target, key, file), _blaming_the_right_one() as told, Pipeline() as pipeline:
        unpacked = start_unpack(pipeline, target, key, file, body.encrypted)
        tool = pipeline.start(
            argv, name=what, env=environment, stdin=unpacked.stdout, stdout=subprocess.DEVNULL
        )
        tool.failed_as = DamagedSet
        told.append(tool)
        unpacked.stdout.close()
        pipeline.run(partial(pump, stored_pieces(target, key, file), (unpacked.stdin,), meter), "read")
        pipeline.join(meter, STALL_SECONDS, lambda: tick(what, meter.bytes, file.size), alive)


@contextmanager
def _head_is_whole(target: Target, key: SetKey, file: FileEntry) -> Iterator[None]:
    """Where no key seems to fit, tell a changed head from another's key: by all the stored bytes."""
    try:
        yield
    except NoFittingKey:
        for _ in stored_pieces(target, key, file):
            pass
        raise


_LACKING = re.compile(
    r"invalid (?:LC_COLLATE|LC_CTYPE|locale|ICU|builtin)|could not create locale|not supported (?:in|by) this build"
    r"|compression method \S+ not supported|could not access file"
    r"|No space left on device|out of memory|could not resize shared memory"
    r"|server closed the connection unexpectedly|connection to server was lost|terminating connection because of crash"
    r"|the database system is (?:in recovery mode|shutting down|starting up)|Connection refused|terminated by user"
)
"""What is said when the server, not the set, is at fault: a locale, a library, a build option, room or memory is
missing, or it went away (a full disk of its log ends all of it)."""


@contextmanager
def _blaming_the_right_one() -> Iterator[list[Process]]:
    """Of the programs that are put into the list all that they said is looked at."""
    told: list[Process] = []
    try:
        yield told
    except OperationFailed as error:
        if any(_LACKING.search(text) for text in (str(error), *(tool.all_it_said() for tool in told))):
            raise CouldNotVerify(
                f"The scratch server cannot hold this set: {error} Drill where a server like the source's can run."
            ) from None
        raise


def read_proof(target: Target, key: SetKey, file: FileEntry, encrypted: bool) -> DatabaseProof:
    """A database's proof.

    Raises:
        DamagedSet: the file is damaged or holds no proof.
        CouldNotVerify: it cannot be decrypted here.
    """
    return _parsed(DatabaseProof.model_validate_json, target, key, file, encrypted)


def read_role_proofs(target: Target, key: SetKey, file: FileEntry, encrypted: bool) -> dict[str, RoleProof]:
    """The proof of the roles; raises as `read_proof` does."""
    return _parsed(TypeAdapter(dict[str, RoleProof]).validate_json, target, key, file, encrypted)


def _parsed(
    parse: Callable[[bytes], _Parsed], target: Target, key: SetKey, file: FileEntry, encrypted: bool
) -> _Parsed:
    data = read_small(target, key, file, encrypted)
    try:
        return parse(data)
    except ValidationError:
        raise DamagedSet(
            f"{key}: {file.name} holds no proof that this version reads; use another set."
        ) from None


def start_unpack(
    pipeline: Pipeline,
    target: Target,
    key: SetKey,
    file: FileEntry,
    encrypted: bool,
    stdin: int | IO[bytes] = subprocess.PIPE,
) -> Process:
    """The process that decrypts and gunzips; the private key reaches it through a pipe."""
    identities = needs_identities(target, encrypted)
    with _identity_pipe(identities) as descriptor:
        process = pipeline.start(
            unpack_argv(descriptor),
            name=f"unpacking {file.name}",
            stdin=stdin,
            pass_fds=() if descriptor is None else (descriptor,),
        )
    process.explains = {DAMAGED: damaged(target, key, file.name), WRONG_KEY: wrong_key(target, key)}
    return process


@contextmanager
def _identity_pipe(identities: tuple[str, ...]) -> Iterator[int | None]:
    if not identities:
        yield None
        return
    reading, writing = os.pipe()
    try:
        os.write(writing, "\n".join(identities).encode())  # far below a pipe's capacity
        os.close(writing)
        yield reading
    finally:
        os.close(reading)


def restored_proof(
    server: Server,
    database: str,
    programs: Path,
    sample_percent: int = 100,
    rows: Mapping[str, EarlyProof] | None = None,
) -> DatabaseProof:
    """The proof of a restored database, its schema dumped again; sampled as the one it is compared with.

    `rows` are proofs of tables that were taken while the restore was going on; what was written since is read again.
    """
    with server.connect(database, application=APPLICATION) as connection, ThreadPoolExecutor(1) as pool:
        try:
            encoding = connection.execute(_ENCODING).fetchall()[0][0]
            still = unchanged(connection, rows) if rows and sample_percent == 100 else {}
            schema = pool.submit(_schema, server, database, encoding, programs)
            proof = take_proof(connection, database, "", sample_percent=sample_percent, rows=still)
            return proof.model_copy(update={"schema_sql": schema.result()})
        except psycopg.Error as error:
            raise failed(f"Reading the restored database {database!r} failed", error) from None


_ENCODING = "SELECT pg_catalog.current_setting('server_encoding')"


def _schema(server: Server, database: str, encoding: str, programs: Path) -> str:
    with Pipeline() as pipeline, spool_folder() as folder:
        dump = pipeline.start(
            commands.schema_argv(programs, database),
            name=f"pg_dump of the restored {database!r}",
            env=server.fixed_environment(APPLICATION, encoding),
            stdin=subprocess.DEVNULL,
        )
        head = archive.head_of(dump, folder, programs)
        dump.stdout.close()
        return head.schema()


def reprinter(server: Server, programs: Path, properties: DatabaseProperties) -> Callable[[str], str]:
    """How a schema's SQL prints after one restore: run it in a database of its own and dump that.

    `properties` are those of the restored database: its encoding and locale, which this server has.
    """

    def reprint(schema_sql: str) -> str:
        scratch_name = working_name()
        create_database(server, scratch_name, properties)
        try:
            with in_time():
                done = subprocess.run(
                    commands.psql_argv(programs, scratch_name),
                    input=schema_sql.encode(),
                    capture_output=True,
                    env=server.fixed_environment(APPLICATION, properties.encoding),
                    timeout=STALL_SECONDS,
                    check=False,
                )
            return "" if done.returncode else restored_proof(server, scratch_name, programs).schema_sql
        finally:
            drop_working(server, scratch_name)

    return reprint
