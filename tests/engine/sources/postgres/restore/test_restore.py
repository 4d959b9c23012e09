"""A restore into a live server: beside what is there or in its place, and never half."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.pq import TransactionStatus
from psycopg.rows import TupleRow

from engine.errors import ConfigurationError, LockedByAnother, OperationFailed, TransientFailure
from engine.progress import silent
from engine.repository.catalogue import catalogue
from engine.repository.keys import SetKey
from engine.repository.repository import Repository
from engine.sources.postgres.backup import backup
from engine.sources.postgres.backup import dump as dumping
from engine.sources.postgres.backup.work import Work
from engine.sources.postgres.proof.roles import read_roles
from engine.sources.postgres.restore import missing_roles
from engine.sources.postgres.restore.database import fitting_name
from engine.sources.postgres.restore.operation import RestoreRun
from engine.sources.postgres.restore.renaming import give_name
from engine.sources.postgres.restore.restore import RestoreChoice, RestoredDatabase, choose, restore_databases
from engine.sources.postgres.scratch.instance import Instance
from engine.sources.postgres.scratch.scratch import scratch_server
from engine.sources.postgres.server.lock import backup_lock
from engine.steps import InShell
from tests.conftest import LIVE, MAJOR
from tests.engine.repository.made import a_key, judge, store_set
from tests.engine.sources.postgres.backups import (
    Backup,
    back_up,
    copied,
    drill,
    execute,
    put,
    read,
    repacked,
    replaced,
    run_script,
    server_of,
    store_in,
)

SQL = Path(__file__).parents[1] / "sql"
OTHER = "그 \"둘째\" 'db' " + "x" * 40


@pytest.fixture(scope="module")
def source() -> Iterator[Instance]:
    with scratch_server(MAJOR, settings=LIVE) as server:
        execute(
            server, "postgres",
            "CREATE ROLE bob LOGIN PASSWORD 'secret'", "CREATE ROLE \"O'Hara\" IN ROLE bob", "CREATE ROLE \"a b\"\"c\"",
            "ALTER ROLE bob SET work_mem = '5MB'", "GRANT bob TO \"a b\"\"c\" WITH ADMIN OPTION", "COMMENT ON ROLE bob IS 'me'",
            "CREATE DATABASE small", f"CREATE DATABASE {quoted(OTHER)} OWNER bob IS_TEMPLATE true CONNECTION LIMIT 5",
            "ALTER DATABASE small SET search_path = public, \"A b\"", "ALTER ROLE bob IN DATABASE small SET work_mem = '6MB'",
            "GRANT CREATE ON DATABASE small TO bob WITH GRANT OPTION", "COMMENT ON DATABASE small IS 'it''s'",
            "SET ROLE bob", "GRANT CREATE ON DATABASE small TO \"O'Hara\"", "RESET ROLE",
        )  # fmt: skip
        run_script(server, "small", (SQL / "small.sql").read_text(encoding="utf8"))
        execute(server, OTHER, "CREATE TABLE t (a int)", "INSERT INTO t VALUES (1)")
        yield server


def quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


@pytest.fixture(scope="module")
def made(source: Instance, tmp_path_factory: pytest.TempPathFactory) -> Backup:
    return back_up(server_of(source), store_in(tmp_path_factory.mktemp("restore")))


@pytest.fixture
def goal() -> Iterator[Instance]:
    with scratch_server(MAJOR, settings=LIVE) as server:
        yield server


def databases(server: Instance) -> set[str]:
    return {row[0] for row in execute(server, "postgres", "SELECT datname FROM pg_database")} - {
        "template0",
        "template1",
        "postgres",
    }


def restored(
    made: Backup, goal: Instance, key: SetKey, database: str = "small", *, in_place: bool = False
) -> RestoredDatabase:
    (one,) = restore_databases(made.repository, server_of(goal), (RestoreChoice(database, key),), in_place=in_place)
    return one


def test_beside_from_either_kind_of_set(made: Backup, goal: Instance) -> None:
    execute(goal, "postgres", "CREATE DATABASE small")
    for key in (made.key("small"), made.cluster_key):
        one = restored(made, goal, key)
        assert one.name == f"small_restored_{key.created:%Y%m%d_%H%M%S}"
        assert (one.previous, one.rows) == (None, 18)
        assert execute(goal, one.name, "SELECT name FROM item ORDER BY id") == [
            ("one",),
            ("two",),
            ("three",),
        ]
        assert execute(goal, "small", "SELECT count(*) FROM pg_class WHERE relname = 'item'") == [(0,)]
        with pytest.raises(ConfigurationError, match=f"already has a database '{one.name}'"):
            restored(made, goal, key)
        assert databases(goal) == {"small", one.name}
        execute(goal, "postgres", f"DROP DATABASE {quoted(one.name)}")  # both sets are of the same second


LARGE = """
CREATE TABLE big (id int PRIMARY KEY, note text);
INSERT INTO big SELECT i, repeat(md5(i::text), 3) FROM generate_series(1, 120000) AS i;
CREATE TABLE bigger (id int PRIMARY KEY REFERENCES big, note text);
INSERT INTO bigger SELECT i, repeat(md5(i::text), 4) FROM generate_series(1, 100000) AS i;
CREATE TABLE few AS SELECT 1 AS one;
CREATE INDEX "plain, descending" ON big (note DESC, id);
COMMENT ON INDEX "plain, descending" IS 'built while other rows came';
COMMENT ON CONSTRAINT big_pkey ON big IS 'nothing stands before it';
CREATE INDEX ON big (lower(note));
CREATE INDEX ON bigger (note) WHERE id > 5;
CREATE INDEX clustered ON big (id, note);
ALTER TABLE big CLUSTER ON clustered;
CREATE TABLE parted (id int, note text, PRIMARY KEY (id)) PARTITION BY RANGE (id);
CREATE TABLE parted_leaf PARTITION OF parted DEFAULT;
INSERT INTO parted SELECT * FROM bigger;
CREATE TYPE mood AS ENUM ('a', 'b', 'c', 'd', 'e', 'f', 'g', 'h');
CREATE TABLE feel (id int, mood mood, note text) PARTITION BY HASH (mood);
CREATE TABLE a_feel PARTITION OF feel FOR VALUES WITH (MODULUS 2, REMAINDER 0);
CREATE TABLE z_feel PARTITION OF feel FOR VALUES WITH (MODULUS 2, REMAINDER 1);
INSERT INTO feel SELECT i, (enum_range(NULL::mood))[1 + i % 8], repeat('x', 90) FROM generate_series(1, 300000) AS i;
"""


def test_large_tables_are_marked_as_visible_before_their_foreign_keys(goal: Instance, tmp_path: Path) -> None:
    """The first one is loaded by all sessions and vacuumed, the next one frozen by the one that loads it."""
    execute(goal, "postgres", "CREATE DATABASE large")
    run_script(goal, "large", LARGE)
    made = back_up(server_of(goal), store_in(tmp_path), ["large"], cluster=False)
    one = restored(made, goal, made.key("large"), "large")
    seen = "SELECT relname, relallvisible > 0 FROM pg_class WHERE relname IN ('big', 'bigger', 'few') ORDER BY 1"
    assert execute(goal, one.name, seen) == [("big", True), ("bigger", True), ("few", False)]
    vacuumed = "SELECT relname FROM pg_stat_user_tables WHERE vacuum_count > 0"
    assert ("big",) in execute(goal, one.name, vacuumed)
    sums = "SELECT count(*), sum(hashtext(note)) FROM bigger"
    assert execute(goal, one.name, sums) == execute(goal, "large", sums)
    assert (one.tables, one.rows) == (6, 620_001)
    valid = "SELECT count(*) FROM pg_index WHERE NOT indisvalid AND indrelid >= 16384"
    assert execute(goal, one.name, valid) == [(0,)]


PARTITIONED = """
CREATE FUNCTION same() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN new; END $$;
DO $$ BEGIN FOR p IN 1..4 LOOP
    EXECUTE format('CREATE TABLE top%s (id int, k int, v int, PRIMARY KEY (id, k), UNIQUE (k, id, v)) PARTITION BY LIST (k)', p);
    FOR i IN 0..3 LOOP
        EXECUTE format('CREATE TABLE top%s_%s PARTITION OF top%1$s FOR VALUES IN (%2$s) PARTITION BY RANGE (id)', p, i);
        FOR j IN 0..2 LOOP
            EXECUTE format('CREATE TABLE top%1$s_%2$s_%3$s PARTITION OF top%1$s_%2$s FOR VALUES FROM (%4$s) TO (%5$s)', p, i, j, j * 9, j * 9 + 9);
        END LOOP;
    END LOOP;
    EXECUTE format('CREATE INDEX ON top%s (v)', p);
    EXECUTE format('CREATE INDEX ON top%s (k, v)', p);
    EXECUTE format('CREATE TRIGGER same BEFORE INSERT ON top%s FOR EACH ROW EXECUTE FUNCTION same()', p);
    EXECUTE format('CREATE TRIGGER again AFTER UPDATE ON top%s FOR EACH ROW EXECUTE FUNCTION same()', p);
    EXECUTE format('CREATE TABLE child%s (id int, k int, FOREIGN KEY (id, k) REFERENCES top%1$s)', p);
    EXECUTE format('INSERT INTO top%s SELECT i, i %% 4, i FROM generate_series(0, 26) AS i', p);
END LOOP; END $$;
"""


def from_script(goal: Instance, folder: Path, script: str) -> RestoredDatabase:
    """A database that the script made, restored beside itself."""
    execute(goal, "postgres", "CREATE DATABASE odd")
    run_script(goal, "odd", script)
    made = back_up(server_of(goal), store_in(folder), ["odd"], cluster=False)
    return restored(made, goal, made.key("odd"), "odd")


def test_sessions_never_wait_for_each_others_partitions(
    goal: Instance, store_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A trigger or a foreign key locks all leaves, an index that is attached its parent."""
    for module in ("load.plan", "load.after_data"):
        monkeypatch.setattr(f"engine.sources.postgres.restore.{module}.JOBS", 4)
    assert from_script(goal, store_folder, PARTITIONED).rows == 4 * 27


def test_a_materialized_view_whose_function_reads_another_one(goal: Instance, store_folder: Path) -> None:
    """Which waits for a third one."""
    one = from_script(goal, store_folder, """
        CREATE MATERIALIZED VIEW first AS SELECT 1 AS n, pg_sleep(0.3)::text AS slept;
        CREATE MATERIALIZED VIEW before_last AS SELECT n FROM first;
        CREATE FUNCTION best() RETURNS int LANGUAGE sql STABLE AS 'SELECT max(n) FROM public.before_last';
        CREATE MATERIALIZED VIEW by_function AS SELECT best() AS n;
    """)  # fmt: skip
    assert execute(goal, one.name, "SELECT n FROM by_function") == [(1,)]


def test_a_check_whose_function_reads_an_earlier_table(goal: Instance, store_folder: Path) -> None:
    """Its last rows are those that take longest."""
    one = from_script(goal, store_folder, """
        CREATE FUNCTION slowly(int) RETURNS bool LANGUAGE sql IMMUTABLE AS 'SELECT $1 < 9 OR pg_sleep(0.3) IS NOT NULL';
        CREATE TABLE a_zone (id int CHECK (slowly(id)));
        INSERT INTO a_zone SELECT generate_series(1, 9);
        CREATE FUNCTION known(int) RETURNS bool LANGUAGE plpgsql AS
            $$ BEGIN RETURN EXISTS (SELECT FROM public.a_zone WHERE id = $1); END $$;
        CREATE TABLE b_address (zone int CHECK (known(zone)));
        INSERT INTO b_address VALUES (9);
    """)  # fmt: skip
    assert execute(goal, one.name, "SELECT zone FROM b_address") == [(9,)]


def test_privileges_on_a_database_that_were_passed_on_and_on(goal: Instance, store_folder: Path) -> None:
    """By roles whose names are in the opposite order."""
    one = from_script(goal, store_folder, """
        CREATE ROLE zed; CREATE ROLE bob; CREATE ROLE anna;
        GRANT CREATE ON DATABASE odd TO zed WITH GRANT OPTION;
        SET ROLE zed; GRANT CREATE ON DATABASE odd TO bob WITH GRANT OPTION;
        SET ROLE bob; GRANT CREATE ON DATABASE odd TO anna;
    """)  # fmt: skip
    privileges = "SELECT datacl::text FROM pg_database WHERE datname = current_database()"
    assert execute(goal, one.name, privileges) == execute(goal, "odd", privileges)


def test_what_was_made_since_it_was_asked_is_not_replaced(made: Backup, goal: Instance) -> None:
    run = RestoreRun(made.repository, "platform", server_of(goal), ["small"], made.key("small").set_id, in_place=True)
    run.plan(InShell(silent))
    assert run.live == ()
    run.require_confirmed((), "--confirm")
    execute(goal, "postgres", "CREATE DATABASE small")
    run.carry_out(InShell(silent))
    [(_, error)] = run.failures
    assert str(error).partition(" has had ")[2] == (
        "a database 'small' since it was asked what is replaced, so it was left as it is; start again and confirm it, or "
        "restore beside it."
    )
    with pytest.raises(ConfigurationError, match="has had a database 'small' since"):  # made while it was restored
        give_name(server_of(goal), "postgres", "small", in_place=True, replace=False)
    run.require_confirmed(("small",), "--confirm")
    run.carry_out(InShell(silent))
    assert [one.name for one in run.restored] == ["small"]
    assert run.restored[0].previous is not None
    execute(goal, "postgres", "DROP DATABASE small", f'DROP DATABASE "{run.restored[0].previous}"')


def test_missing_roles_come_with_it_and_others_stay_as_they_are(made: Backup, source: Instance, goal: Instance) -> None:
    execute(goal, "postgres", "CREATE ROLE \"O'Hara\" CREATEDB PASSWORD 'own'", "CREATE ROLE stranger")
    with psycopg.connect(goal.conninfo()) as connection:
        before = read_roles(connection)
    one = restored(made, goal, made.key("small"))
    assert one.roles_created == ('a b"c', "bob")
    with psycopg.connect(goal.conninfo()) as connection:
        after = read_roles(connection)
    with psycopg.connect(source.conninfo()) as connection:
        origin = read_roles(connection)
    assert (after["bob"], after['a b"c']) == (origin["bob"], origin['a b"c'])
    assert after["stranger"] == before["stranger"]
    # Its membership in a role that came with the set is the set's; all else is its own.
    assert after["O'Hara"] == before["O'Hara"].model_copy(update={"member_of": origin["O'Hara"].member_of})
    assert restored(made, goal, made.cluster_key, in_place=True).roles_created == ()


def test_roles_that_cannot_be_created_in_time(made: Backup, goal: Instance, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(missing_roles, "_SECONDS", 0.6)
    with psycopg.connect(goal.conninfo()) as holder:
        holder.execute("LOCK TABLE pg_authid IN SHARE MODE")
        with pytest.raises(TransientFailure, match=r"psql took longer than 1 s and was ended; look at locks"):
            restored(made, goal, made.key("small"))


def test_a_role_whose_membership_nobody_can_grant_is_not_created_without_it(goal: Instance, store_folder: Path) -> None:
    execute(
        goal, "postgres", "CREATE DATABASE odd", "CREATE ROLE team", "CREATE ROLE lead", "CREATE ROLE app",
        "GRANT team TO lead WITH ADMIN OPTION", "SET ROLE lead", "GRANT team TO app",
    )  # fmt: skip
    made = back_up(server_of(goal), store_in(store_folder), ["odd"], cluster=False)
    execute(goal, "postgres", "DROP ROLE app", "REVOKE team FROM lead")
    for _ in range(2):
        with pytest.raises(
            OperationFailed,
            match=r'^The roles app could not be created, so none was: ERROR: permission denied to grant privileges as role "lead"; change',
        ):
            restored(made, goal, made.key("odd"), "odd")
    execute(goal, "postgres", "GRANT team TO lead WITH ADMIN OPTION")
    assert restored(made, goal, made.key("odd"), "odd").roles_created == ("app",)
    members = "SELECT grantor::regrole::text FROM pg_auth_members WHERE member = 'app'::regrole"
    assert execute(goal, "postgres", members) == [("lead",)]


def test_a_template_of_a_long_hostile_name(made: Backup, goal: Instance) -> None:
    for key in (made.key(OTHER), made.cluster_key):
        one = restored(made, goal, key, OTHER)
        assert one.name.startswith("그 \"둘째\" 'db' xxx")
        assert one.name.endswith(f"_restored_{key.created:%Y%m%d_%H%M%S}")
        assert len(one.name.encode()) == 63
        facts = "SELECT pg_get_userbyid(datdba), datistemplate, datconnlimit FROM pg_database WHERE datname = current_database()"
        assert execute(goal, one.name, facts) == [("bob", True, 5)]
        execute(
            goal,
            "postgres",
            f"ALTER DATABASE {quoted(one.name)} IS_TEMPLATE false",
            f"DROP DATABASE {quoted(one.name)}",
        )


def test_long_names_that_begin_alike_have_each_a_name_of_their_own() -> None:
    suffix = "_before_20260207_170000"
    first, second = (fitting_name(f"tenant_{'x' * 50}_{number}", suffix) for number in (1, 2))
    assert first != second
    for name in (first, second):
        assert name.startswith("tenant_xxx")
        assert name.endswith(suffix)
        assert len(name.encode()) == 63
    assert fitting_name("x" * 40, suffix) == "x" * 40 + suffix


def test_in_place_under_clients_that_come_back_all_the_time(made: Backup, goal: Instance) -> None:
    execute(goal, "postgres", "CREATE DATABASE small", "CREATE ROLE client LOGIN")
    execute(goal, "small", "CREATE TABLE old (a int)")
    stop, answers = threading.Event(), []

    def come_back() -> None:
        while not stop.is_set():
            try:
                with psycopg.connect(goal.conninfo("small", user="client"), autocommit=True) as connection:
                    row = connection.execute("SELECT to_regclass('old') IS NOT NULL").fetchone()
                    answers.append((time.monotonic(), bool(row and row[0])))
                    connection.execute("SELECT pg_sleep(0.05)")
            except psycopg.OperationalError:
                time.sleep(0.01)

    clients = [threading.Thread(target=come_back) for _ in range(4)]
    for client in clients:
        client.start()
    try:
        one = restored(made, goal, made.key("small"), in_place=True)
        done = time.monotonic()
        deadline = done + 10
        while not any(at > done for at, _ in answers) and time.monotonic() < deadline:
            time.sleep(0.05)
    finally:
        stop.set()
        for client in clients:
            client.join()
    assert one.name == "small"
    assert one.previous is not None
    assert one.previous.startswith("small_before_")
    answers.sort()
    assert max(later - earlier for (earlier, _), (later, _) in pairwise(answers)) < 3
    seen = [old for _, old in answers]
    assert seen == sorted(seen, reverse=True)  # first the old one, then the new one, never back
    assert (seen[0], seen[-1]) == (True, False)
    assert databases(goal) == {"small", one.previous}
    assert execute(goal, one.previous, "SELECT count(*) FROM old") == [(0,)]


def test_in_place_where_there_is_none(made: Backup, goal: Instance) -> None:
    one = restored(made, goal, made.cluster_key, in_place=True)
    assert (one.name, one.previous, databases(goal)) == ("small", None, {"small"})


def lose_after_commit(monkeypatch: pytest.MonkeyPatch, then: Callable[[], object] = lambda: None) -> None:
    """The next transaction's COMMIT arrives; its answer does not."""
    commit = psycopg.Connection.commit

    def lost(self: psycopg.Connection[TupleRow]) -> None:
        ours = self.info.transaction_status is TransactionStatus.INTRANS
        commit(self)
        if ours:
            then()
            raise psycopg.OperationalError("server closed the connection unexpectedly")

    monkeypatch.setattr(psycopg.Connection, "commit", lost)


def test_the_session_that_renames_is_lost_after_its_commit(goal: Instance, monkeypatch: pytest.MonkeyPatch) -> None:
    execute(goal, "postgres", "CREATE DATABASE restored", "CREATE DATABASE small")
    lose_after_commit(monkeypatch)
    previous = give_name(server_of(goal), "restored", "small", in_place=True)
    assert previous is not None
    assert databases(goal) == {"small", previous}


def test_the_session_that_renames_is_lost_before(goal: Instance) -> None:
    execute(goal, "postgres", "CREATE DATABASE restored", "CREATE DATABASE small")
    waiting = "SELECT pid FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%RENAME%'"

    def end() -> None:
        deadline = time.monotonic() + 30
        while not execute(goal, "postgres", f"SELECT pg_terminate_backend(pid) FROM ({waiting}) AS w"):
            assert time.monotonic() < deadline
            time.sleep(0.05)

    with psycopg.connect(goal.conninfo()) as holder, ThreadPoolExecutor(1) as pool:
        holder.execute("LOCK TABLE pg_database IN SHARE MODE")
        ended = pool.submit(end)
        with pytest.raises(TransientFailure, match=r"^Renaming to 'small' on platform .* nothing was renamed: "):
            give_name(server_of(goal), "restored", "small", in_place=True)
        ended.result()
    assert databases(goal) == {"small", "restored"}


def test_who_cannot_tell_whether_it_was_renamed_says_how_to_see(
    made: Backup, goal: Instance, monkeypatch: pytest.MonkeyPatch
) -> None:
    execute(goal, "postgres", "CREATE DATABASE small")
    lose_after_commit(monkeypatch, lambda: goal.stop(immediate=True))
    with pytest.raises(
        TransientFailure,
        match=r"cannot be asked \(.*if there is a database 'small_before_\d+_\d+', it did\.$",
    ):
        restored(made, goal, made.key("small"), in_place=True)


def test_what_came_back_wrong_never_gets_the_name(made: Backup, goal: Instance, store_folder: Path) -> None:
    execute(goal, "postgres", "CREATE DATABASE small")
    execute(goal, "small", "CREATE TABLE old (a int)")
    wrong = repacked(made.repository, made.key("small"), {"small.dump.gz": replaced("1\tone\t", "1\tonf\t")})
    with pytest.raises(
        OperationFailed,
        match=r"did not come back as it was: 1 differences, first table public\.item; what is live was not touched",
    ):
        restored(made, goal, wrong, in_place=True)
    repository, key = store_in(store_folder), made.key("small")
    copied(made.repository, key, repository)
    put(repository, f"{key.prefix}small.dump.gz", read(repository, f"{key.prefix}small.dump.gz")[:-9])
    with pytest.raises(OperationFailed, match=r"differs from its manifest at small\.dump\.gz"):
        restore_databases(repository, server_of(goal), (RestoreChoice("small", key),), in_place=True)
    assert databases(goal) == {"small"}
    assert execute(goal, "small", "SELECT count(*) FROM old") == [(0,)]


def test_all_that_is_hard_and_a_table_that_several_sessions_load(
    source: Instance, goal: Instance, store_folder: Path
) -> None:
    execute(source, "postgres", "CREATE ROLE eve", "CREATE DATABASE hard")
    run_script(source, "hard", (SQL / "hard.sql").read_text(encoding="utf8"))
    run_script(source, "hard", """
        CREATE TABLE "many COPY x FROM stdin;
rows" ("a "" b" int PRIMARY KEY, "FROM stdin;
" text, parent int REFERENCES "many COPY x FROM stdin;
rows");
        INSERT INTO "many COPY x FROM stdin;
rows" SELECT i, repeat(md5(i::text), 10), nullif(i / 2, 0) FROM generate_series(1, 40000) AS i;
        CREATE TABLE long (a text); INSERT INTO long SELECT repeat('a long row ', 1000000) FROM generate_series(1, 2);
    """)  # fmt: skip
    repository = store_in(store_folder)
    made = back_up(server_of(source), repository, ["hard"], cluster=False)
    one = restored(made, goal, made.key("hard"), "hard")
    assert one.rows > 40_000
    # So that foreign keys are checked in indexes alone.
    vacuumed = "SELECT relname FROM pg_stat_user_tables WHERE vacuum_count > 0 ORDER BY 1"
    assert execute(goal, one.name, vacuumed) == [("long",), ("many COPY x FROM stdin;\nrows",)]
    execute(source, "postgres", "DROP DATABASE hard", "DROP ROLE eve")


def test_a_database_with_a_subscription_leaves_nothing_behind(
    source: Instance, goal: Instance, store_folder: Path
) -> None:
    execute(source, "postgres", "CREATE DATABASE subscribed")
    run_script(source, "subscribed", """
        CREATE TABLE t (s varchar(10) CHECK (s IN ('a', 'b')), n text); INSERT INTO t VALUES ('a', 'one');
        CREATE SUBSCRIPTION "a ""b" CONNECTION 'host=127.0.0.1' PUBLICATION p WITH (connect = false, slot_name = 'theirs');
    """)  # fmt: skip
    repository = store_in(store_folder)
    made = back_up(server_of(source), repository, ["subscribed"], cluster=False)
    key = made.key("subscribed")
    report = drill(repository, key)
    assert (report.result, report.differences) == ("passed", ()), report.sentence
    wrong = repacked(repository, key, {"subscribed.dump.gz": replaced("\tone\n", "\tonf\n")})
    with pytest.raises(OperationFailed, match=r"first table public\.t"):
        restored(made, goal, wrong, "subscribed")
    assert databases(goal) == set()
    one = restored(made, goal, key, "subscribed")
    assert databases(goal) == {one.name}
    execute(source, "subscribed", 'ALTER SUBSCRIPTION "a ""b" SET (slot_name = NONE)', 'DROP SUBSCRIPTION "a ""b"')
    execute(source, "postgres", "DROP DATABASE subscribed")


def test_no_room_for_the_copy_of_the_stored_bytes(
    source: Instance, goal: Instance, store_folder: Path, small_disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    execute(source, "postgres", "CREATE DATABASE bulky")
    execute(source, "bulky", "CREATE TABLE t AS SELECT md5(i::text) FROM generate_series(1, 150000) AS i")
    repository = store_in(store_folder)
    made = back_up(server_of(source), repository, ["bulky"], cluster=False)
    execute(source, "postgres", "DROP DATABASE bulky")
    monkeypatch.setenv("TMPDIR", str(small_disk))
    with pytest.raises(
        OperationFailed, match=r"bulky\.dump\.gz cannot be kept in .*: No space left on device; make room"
    ):
        restored(made, goal, made.key("bulky"), "bulky")
    assert (databases(goal), list(small_disk.iterdir())) == (set(), [])


def test_into_a_server_whose_first_superuser_has_another_name(goal: Instance, tmp_path: Path) -> None:
    with scratch_server(MAJOR, settings=LIVE, superuser="boss") as source:
        execute(source, "postgres", "CREATE ROLE crew", "CREATE ROLE app IN ROLE crew", "CREATE DATABASE small")
        execute(source, "small", "CREATE TABLE t (a int)", "ALTER TABLE t OWNER TO app")
        made = back_up(server_of(source), store_in(tmp_path))
    assert drill(made.repository, made.cluster_key).result == "passed"
    restored(made, goal, made.key("small"))
    members = "SELECT roleid::regrole::text, grantor::regrole::text FROM pg_auth_members WHERE member = 'app'::regrole"
    assert execute(goal, "postgres", members) == [("crew", "postgres")]


def test_a_role_that_is_dropped_while_its_grants_are_dumped(
    goal: Instance, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As short-lived roles are: it is made again with nothing of its own, or the dump could not be restored."""
    with scratch_server(MAJOR, settings=LIVE) as source:
        execute(source, "postgres", "CREATE ROLE brief LOGIN", "CREATE DATABASE small")
        execute(source, "small", "CREATE TABLE t (a int)", "GRANT SELECT ON t TO brief")

        def dump_and_drop(work: Work, *more: Any, once: bool) -> None:
            dumping.dump(work, *more, once=once)
            if work.name == "small":
                execute(source, "small", "DROP OWNED BY brief", "DROP ROLE brief")

        monkeypatch.setattr(backup, "dump", dump_and_drop)
        made = back_up(server_of(source), store_in(tmp_path))
    for key in (made.cluster_key, made.key("small")):
        report = drill(made.repository, key)
        assert report.result == "passed", report
    restored(made, goal, made.key("small"))
    assert len(execute(goal, "postgres", "SELECT 1 FROM pg_roles WHERE rolname = 'brief'")) == 1


def test_one_at_a_time(made: Backup, goal: Instance) -> None:
    with backup_lock(server_of(goal)), pytest.raises(LockedByAnother, match="Another backup of platform"):
        restored(made, goal, made.key("small"))


def test_the_maintenance_database_is_replaced_from_another_one(made: Backup, goal: Instance) -> None:
    execute(goal, "postgres", "CREATE TABLE precious AS SELECT 1 AS one")
    one = restored(made, goal, made.cluster_key, "postgres", in_place=True)
    assert one.previous is not None
    assert execute(goal, one.previous, "SELECT one FROM precious") == [(1,)]
    assert restored(made, goal, made.cluster_key, "template1", in_place=True).previous is None
    assert databases(goal) == {one.previous}
    execute(goal, "postgres", "CREATE DATABASE of_template1")


def test_which_database_from_which_set(made: Backup) -> None:
    known = catalogue(made.repository)
    newest = choose(known, made.repository, "platform", []).chosen
    assert {choice.database for choice in newest} == {"small", OTHER}
    of_cluster = choose(known, made.repository, "platform", [], str(made.cluster_key)).chosen
    assert of_cluster == tuple(RestoreChoice(name, made.cluster_key, "recorded") for name in ("small", OTHER))
    with pytest.raises(ConfigurationError, match="has no database 'nope'; it has: template1, postgres"):
        choose(known, made.repository, "platform", ["nope"], str(made.cluster_key))


def test_a_word_finds_a_database_in_cluster_sets_too(made: Backup, source: Instance, store_folder: Path) -> None:
    repository = store_in(store_folder)
    for key in (made.cluster_key, made.key("small")):
        copied(made.repository, key, repository)
    later = back_up(server_of(source), repository)
    with pytest.raises(OperationFailed, match="There is no proven set of db 'small' of platform in"):
        chosen(repository, "newest-proven")
    judge(repository.store, made.cluster_key, "drill", "passed", "2026-02-08")
    assert chosen(repository, "newest-proven") == RestoreChoice("small", made.cluster_key, "proven")
    assert chosen(repository, "newest") == RestoreChoice("small", later.key("small"), "recorded")
    judge(repository.store, later.key("small"), "verify", "passed", "2026-02-08")
    assert chosen(repository, "newest-good") == RestoreChoice("small", later.key("small"), "verified")
    judge(repository.store, later.cluster_key, "drill", "passed", "2026-02-08")
    assert chosen(repository, "newest-proven") == RestoreChoice("small", later.cluster_key, "proven")
    for key in (made.key("small"), later.key("small")):
        judge(repository.store, key, "verify", "failed", "2026-02-09")
    over = later.key("small")
    assert chosen(repository, "newest") == RestoreChoice("small", later.cluster_key, "proven", over)
    with pytest.raises(ConfigurationError, match="There is no set of db 'nope' of platform in"):
        chosen(repository, "newest", "nope")


def test_no_more_manifests_are_read_than_a_word_needs(made: Backup, source: Instance, store_folder: Path) -> None:
    repository = store_in(store_folder)
    copied(made.repository, made.cluster_key, repository)
    later = back_up(server_of(source), repository)
    for key in (made.cluster_key, later.cluster_key):
        judge(repository.store, key, "drill", "passed", "2026-02-08")
    put(repository, made.cluster_key.manifest, b"not a manifest")
    assert chosen(repository, "newest-proven").key == later.cluster_key
    put(repository, later.cluster_key.manifest, b"not a manifest")
    assert chosen(repository, "newest").key == later.key("small")


def test_all_are_those_of_the_newest_cluster_set_and_what_was_stored_since(
    made: Backup, source: Instance, store_folder: Path
) -> None:
    repository = store_in(store_folder)
    for key in (made.cluster_key, made.key("small"), made.key(OTHER)):
        copied(made.repository, key, repository)
    dropped = store_set(repository.store, a_key("2026-02-07", "dropped"))
    of_all = [choice.key for choice in choose(catalogue(repository), repository, "platform", ()).chosen]
    assert of_all == [made.key("small"), made.key(OTHER)]
    since = store_set(repository.store, a_key("2026-02-08", "since"))
    of_all = [choice.key for choice in choose(catalogue(repository), repository, "platform", ()).chosen]
    assert of_all == [made.key("small"), made.key(OTHER), since]
    judge(repository.store, made.cluster_key, "drill", "failed", "2026-02-08")  # the only one: as without a cluster set
    of_all = [choice.key for choice in choose(catalogue(repository), repository, "platform", ()).chosen]
    assert set(of_all) == {made.key("small"), made.key(OTHER), since, dropped}


def chosen(repository: Repository, which: str, database: str = "small") -> RestoreChoice:
    (one,) = choose(catalogue(repository), repository, "platform", [database], which).chosen
    return one
