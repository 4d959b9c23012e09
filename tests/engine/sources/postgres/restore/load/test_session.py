"""Sessions that load rows into a real server, and what they do beside it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from itertools import chain

import psycopg
import pytest

from engine.errors import OperationFailed
from engine.sources.postgres.archive.plain_index import PlainIndex, plain_index
from engine.sources.postgres.archive.table_data import Rows, TableCopy
from engine.sources.postgres.proof.take_proof import take_proof
from engine.sources.postgres.restore.load.scheduler import LoadScheduler
from engine.sources.postgres.restore.load.session import LoadedBeside, Loading
from engine.sources.postgres.scratch.instance import Instance
from tests.engine.sources.postgres.backups import server_of

Connection = psycopg.Connection[tuple[object, ...]]
ROWS = 40_000
FIRST, SECOND, THIRD = (b"public.first", b'public."it\'s ""2"""', b"public.third")
MANY = dict.fromkeys((FIRST, SECOND, THIRD), ROWS)
TABLE = "CREATE TABLE {} (id int NOT NULL, note text)"


def index(dump_id: int, statement: bytes) -> PlainIndex:
    found = plain_index(dump_id, statement)
    assert found is not None
    return found


KEY = index(11, b"ALTER TABLE ONLY public.first\n    ADD CONSTRAINT first_pkey PRIMARY KEY (id);\n")
NOTE = index(12, b"CREATE INDEX note ON public.first USING btree (note, id DESC);\n")
WRONG = index(13, b"CREATE INDEX wrong ON public.first USING btree (missing);\n")


@pytest.fixture
def empty(connection: Connection) -> Iterator[Connection]:
    for table in (FIRST, SECOND, THIRD):
        connection.execute(TABLE.format(table.decode()).encode())
    yield connection


def rows(table: bytes) -> Iterator[Rows]:
    """More than a large table has at least."""
    copy = TableCopy(table, b"COPY " + table + b" (id, note) FROM stdin", b"SET client_encoding = 'UTF8';\n")
    for start in range(0, ROWS, 1000):
        yield Rows(copy, b"".join(b"%d\t%0250d\n" % (at, at) for at in range(start, start + 1000)))


def held_back(table: bytes, until: Callable[[LoadedBeside], bool], done: LoadedBeside) -> Iterator[Rows]:
    """The last rows come when something is done."""
    *first, last = rows(table)
    yield from first
    deadline = time.monotonic() + 30
    while not until(done) and time.monotonic() < deadline:
        time.sleep(0.01)
    yield last


def loaded(
    server: Instance,
    database: str,
    scheduler: LoadScheduler,
    *tables: bytes,
    until: Callable[[LoadedBeside], bool] = lambda done: True,
) -> Loading:
    loading = Loading(server_of(server), database, scheduler, lambda size: 4096)
    sessions = [threading.Thread(target=loading.run) for _ in range(2)]
    for session in sessions:
        session.start()
    scheduler.give(chain(*map(rows, tables[:-1]), held_back(tables[-1], until, loading.done)))
    for session in sessions:
        session.join(60)
        assert not session.is_alive()
    return loading


def test_rows_are_frozen_and_indexes_built_while_others_come(
    postgres_server: Instance, fresh_database: str, empty: Connection
) -> None:
    tables = (FIRST, SECOND, THIRD)
    scheduler = LoadScheduler(2, MANY, (KEY, NOTE, WRONG))

    def all_is_done(done: LoadedBeside) -> bool:
        return len(done.built) == 2

    done = loaded(postgres_server, fresh_database, scheduler, *tables, until=all_is_done).done
    assert done.built == {11, 12}  # what cannot be built is left to pg_restore
    assert done.frozen == {SECOND, THIRD}  # the first one was loaded by both sessions
    empty.execute("CREATE INDEX ON public.third (id)")  # updates what the catalogue says of its table
    visible = "SELECT relallvisible > 0.9 * relpages FROM pg_class WHERE oid = 'public.third'::regclass"
    assert empty.execute(visible).fetchall() == [(True,)]
    with server_of(postgres_server).connect(fresh_database) as reading:
        whole = take_proof(reading, fresh_database, "").tables
        assert {proof.rows for proof in whole.values()} == {ROWS}


def test_a_table_that_has_rows_keeps_them(postgres_server: Instance, fresh_database: str, empty: Connection) -> None:
    empty.execute("INSERT INTO public.third VALUES (-1, 'its own')")
    scheduler = LoadScheduler(2, MANY, (KEY,))
    assert loaded(postgres_server, fresh_database, scheduler, FIRST, THIRD).done.frozen == set()
    assert empty.execute("SELECT count(*), min(id) FROM public.third").fetchall() == [(ROWS + 1, -1)]


def test_a_table_that_has_a_foreign_key_already_is_not_truncated(
    postgres_server: Instance, fresh_database: str, empty: Connection
) -> None:
    """As those of an extension may have."""
    empty.execute("ALTER TABLE public.third ADD UNIQUE (id)")
    empty.execute("CREATE TABLE child (id int REFERENCES public.third (id))")
    scheduler = LoadScheduler(2, MANY, (KEY,))
    assert loaded(postgres_server, fresh_database, scheduler, FIRST, THIRD).done.frozen == set()
    assert empty.execute("SELECT count(*) FROM public.third").fetchall() == [(ROWS,)]


def test_an_index_that_waits_for_a_lock_is_left_to_pg_restore(
    postgres_server: Instance, fresh_database: str, empty: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("engine.sources.postgres.restore.load.session._LOCK_SECONDS", 0.3)
    scheduler = LoadScheduler(2, MANY, (KEY, NOTE))
    with psycopg.connect(postgres_server.conninfo(fresh_database)) as other:
        other.execute("SELECT FROM public.first")  # a reader is in a key's way, and in no index's
        done = loaded(
            postgres_server, fresh_database, scheduler, FIRST, SECOND, until=lambda done: bool(done.built)
        ).done
    assert done.built == {12}


def test_a_partitioned_table_is_loaded_through_its_root(
    postgres_server: Instance, fresh_database: str, empty: Connection
) -> None:
    empty.execute("DROP TABLE public.third")
    empty.execute("CREATE TABLE public.third (id int, note text) PARTITION BY RANGE (id)")
    empty.execute("CREATE TABLE leaf PARTITION OF public.third DEFAULT")
    scheduler = LoadScheduler(2, MANY, (KEY,))
    assert loaded(postgres_server, fresh_database, scheduler, FIRST, THIRD).done.frozen == set()
    assert empty.execute("SELECT count(*) FROM leaf").fetchall() == [(ROWS,)]


def test_a_row_that_the_server_refuses_ends_all_sessions(
    postgres_server: Instance, fresh_database: str, empty: Connection
) -> None:
    scheduler = LoadScheduler(2, MANY)
    loading = Loading(server_of(postgres_server), fresh_database, scheduler, lambda size: 4096)
    copy = TableCopy(FIRST, b"COPY public.first (id, note) FROM stdin", b"")
    giving = threading.Thread(target=scheduler.give, args=([Rows(copy, b"no number\tx\n")],))
    giving.start()
    with pytest.raises(OperationFailed, match="invalid input syntax for type integer"):
        loading.run()
    giving.join(10)
    assert scheduler.take() is None
