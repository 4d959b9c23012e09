"""Who of several sessions does what: all load one table, or one loads and the others build."""

from __future__ import annotations

import threading
import time

import pytest

from engine.sources.postgres.archive.plain_index import PlainIndex
from engine.sources.postgres.archive.table_data import Rows, TableCopy
from engine.sources.postgres.restore.load.scheduler import LARGE, LoadScheduler
from engine.sources.postgres.restore.load.steps import Build, Load, Step

A, B, C = (TableCopy(name, b"COPY t FROM stdin", b"") for name in (b"a", b"b", b"c"))
KEY = PlainIndex(1, b"a", b"key", alone=True)
INDEX = PlainIndex(2, b"a", b"index", alone=False)
OTHER = PlainIndex(3, b"a", b"other index", alone=False)
MANY = {b"a": 1000, b"b": 1000, b"c": 1000}
MUCH = b"x" * LARGE + b"\n"


def load(step: Step | None) -> Load:
    assert isinstance(step, Load)
    return step


def indexes(*steps: Step | None) -> list[PlainIndex]:
    return [step.index for step in steps if isinstance(step, Build)]


def first_is_in(scheduler: LoadScheduler) -> Load:
    """One session has loaded all of a large table A; another loads B. The latter's step."""
    scheduler.give([Rows(A, MUCH), Rows(B, b"1\n")])
    first = load(scheduler.take())
    assert scheduler.more(A) is None
    second = load(scheduler.take())
    scheduler.done(first)
    return second


def test_all_sessions_load_a_table_when_there_is_nothing_else() -> None:
    scheduler = LoadScheduler(2, worth=MANY)
    scheduler.give([Rows(A, b"1\n"), Rows(A, b"2\n")])
    steps = [load(scheduler.take()), load(scheduler.take())]
    assert [(step.rows.data, step.alone) for step in steps] == [(b"1\n", False), (b"2\n", False)]
    assert scheduler.more(A) is None
    assert scheduler.take() is None


def test_the_next_table_is_loaded_alone_while_the_others_have_work() -> None:
    scheduler = LoadScheduler(2, worth=MANY, indexes=(KEY, INDEX, OTHER))
    second = first_is_in(scheduler)
    assert second.alone
    key = scheduler.take()
    assert indexes(key) == [KEY]
    assert key is not None
    scheduler.done(key)
    assert indexes(scheduler.take(), scheduler.take()) == [INDEX, OTHER]


def test_a_key_is_never_built_beside_another_index_of_its_table() -> None:
    scheduler = LoadScheduler(4, indexes=(INDEX, KEY, OTHER))
    first_is_in(scheduler)
    index, other = scheduler.take(), scheduler.take()
    assert indexes(index, other) == [INDEX, OTHER]  # the key waits for both
    for step in (index, other):
        assert step is not None
        scheduler.done(step)


def test_rows_never_wait_for_sessions_that_build() -> None:
    scheduler = LoadScheduler(2, worth=MANY, indexes=(KEY, INDEX))
    second = first_is_in(scheduler)
    assert indexes(scheduler.take()) == [KEY]
    scheduler.done(second)
    thread = threading.Thread(target=scheduler.give, args=([Rows(C, b"3\n")],))
    thread.start()
    thread.join()
    assert load(scheduler.take()).rows.copy is C


def test_a_small_table_has_no_steps_of_its_own() -> None:
    scheduler = LoadScheduler(2, indexes=(KEY,))
    scheduler.give([Rows(A, b"1\n"), Rows(B, b"1\n")])
    first = load(scheduler.take())
    second = load(scheduler.take())
    scheduler.done(first)
    assert not second.alone
    assert scheduler.take() is None
    assert (scheduler.large_tables, scheduler.largest) == ((), 2)


def test_who_got_the_start_of_a_row_gets_its_rest() -> None:
    scheduler = LoadScheduler(4)
    rows = [*[Rows(A, b"x" * 1000, unfinished=True)] * 50, Rows(A, b"\n"), Rows(A, b"end\n")]
    taken: dict[int, bytes] = {}

    def session() -> None:
        while step := scheduler.take():
            one: Rows | None = load(step).rows
            while one is not None:
                me = threading.get_ident()
                taken[me] = taken.get(me, b"") + one.data
                one = scheduler.more(A)
            scheduler.done(step)

    sessions = [threading.Thread(target=session) for _ in range(3)]
    for thread in sessions:
        thread.start()
    scheduler.give(rows)
    for thread in sessions:
        thread.join()
    assert sum(b"x" in data for data in taken.values()) == 1
    assert sum(map(len, taken.values())) == 50 * 1000 + 1 + 4


@pytest.mark.parametrize(("rows", "alone"), [(2000, True), (2001, False), (0, False)])
def test_a_far_larger_table_is_loaded_by_all(rows: int, alone: bool) -> None:
    """What is to be done beside would soon be done, and one core idle for long."""
    scheduler = LoadScheduler(2, worth={b"a": 1000, b"b": rows}, indexes=(KEY,))
    assert first_is_in(scheduler).alone is alone


def test_a_session_that_ends_a_small_table_is_nothing_beside() -> None:
    scheduler = LoadScheduler(2, worth={b"b": 1000})
    scheduler.give([Rows(A, b"1\n"), Rows(B, b"1\n")])
    load(scheduler.take())
    assert not load(scheduler.take()).alone


def test_rows_of_one_table_in_several_places() -> None:
    """The leaves of a hash-partitioned table may all go into their root, with other tables between."""
    scheduler = LoadScheduler(2, worth=MANY)
    other_columns = TableCopy(b"b", b"COPY t (other, columns) FROM stdin", b"")
    rows = [Rows(A, MUCH), Rows(B, b"1\n"), Rows(C, b"2\n"), Rows(B, b"3\n"), Rows(other_columns, b"4\n")]
    threading.Thread(target=scheduler.give, args=(rows,), daemon=True).start()
    found: list[tuple[bytes, bool]] = []

    def session() -> None:
        before = load(scheduler.take())
        for _ in range(3):
            assert scheduler.more(before.rows.copy) is None
            step = load(scheduler.take())  # by another session: the one before is not done yet
            scheduler.done(before)
            found.append((step.rows.data, step.alone))
            before = step
        assert scheduler.more(before.rows.copy) is None
        scheduler.done(before)
        last = load(scheduler.take())
        found.append((last.rows.data, last.alone))

    thread = threading.Thread(target=session, daemon=True)
    thread.start()
    thread.join(10)
    assert found == [(b"1\n", True), (b"2\n", True), (b"3\n", True), (b"4\n", False)]


def test_who_leaves_ends_it_for_all() -> None:
    scheduler = LoadScheduler(1)
    waiting = threading.Thread(target=scheduler.take)
    waiting.start()
    time.sleep(0.05)
    scheduler.leave()
    waiting.join(5)
    assert not waiting.is_alive()
    assert scheduler.take() is None
    with pytest.raises(BrokenPipeError):
        scheduler.give([Rows(A, b"1\n")])
