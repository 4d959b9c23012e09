"""Leases: one holder at a time, whoever is killed, stopped, late or cut off. Holders are real processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from datetime import timedelta
from pathlib import Path

import pytest

from engine.errors import ConfigurationError, LockedByAnother, TransientFailure
from engine.repository.catalogue import catalogue
from engine.repository.lease import drilling, lease, leased_sets
from engine.repository.lease_row import HELD, Row
from engine.repository.parsing import parse_set_key
from engine.repository.prune import apply_prune, prune
from engine.repository.prune_plan import plan_prune
from engine.repository.repository import Repository
from engine.stores.base import Deletion, Store
from engine.stores.folder import FolderStore
from engine.stores.opening import open_store
from engine.stores.settings import FolderSettings, PlaceSettings
from tests.engine.repository.made import NOW, MemoryStore, a_key, parse_verdict_key, store_set, write
from tests.engine.repository.test_prune import POLICY, a_week
from tests.engine.stores.conftest import StartServer, new_bucket

HOLDER = """
import sys, time
from pydantic import TypeAdapter
from engine.stores.settings import PlaceSettings
from engine.errors import LockedByAnother, TransientFailure
from engine.repository.lease import lease
from engine.hosts import identity
from engine.stores.opening import open_store
from engine.repository.repository import Repository

settings, seconds, host, doing = sys.argv[1:]
if host:  # the rest of the product sees a process of another machine
    identity._host = lambda: host
    identity._boot = lambda: "0" * 8
store = open_store("nightly", TypeAdapter(PlaceSettings).validate_json(settings))

def say(word):
    print(word, flush=True)

if doing == "count":
    say("ready")
    path = sys.stdin.readline().strip()
    for _ in range(5):
        with lease(store, "platform", "prune", "counting", seconds=float(seconds), wait_seconds=60):
            seen = int(open(path).read())
            time.sleep(0.02)
            open(path, "w").write(str(seen + 1))
    say("counted")
elif doing == "race":
    say("ready")
    sys.stdin.readline()
    try:
        with lease(store, "platform", "prune", "racing", seconds=float(seconds)):
            say("won")
            sys.stdin.readline()
    except LockedByAnother:
        say("lost")
else:
    with lease(store, "platform", "prune", "nightly-backup calm-otter", seconds=float(seconds)) as held:
        say("held")
        try:
            while True:
                time.sleep(0.05)
                held.check()
        except TransientFailure as error:
            say(str(error))
"""
OTHER_HOST = "0123abcd"


class Other:
    """Another process that wants the lease, or holds it."""

    def __init__(self, settings: PlaceSettings, seconds: float, host: str = "", doing: str = "hold") -> None:
        argv = [sys.executable, "-c", HOLDER, settings.model_dump_json(), str(seconds), host, doing]
        self.process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def says(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def proceed(self, line: str = "go") -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(f"{line}\n")
        self.process.stdin.flush()

    def send(self, number: signal.Signals) -> None:
        os.kill(self.process.pid, number)

    def kill(self) -> None:
        with self.process:
            self.process.kill()
            self.process.wait()


@pytest.fixture
def others() -> Iterator[Callable[..., Other]]:
    """Start other processes; whatever is left of them is killed after the test."""
    with ExitStack() as stack:

        def start(settings: PlaceSettings, seconds: float, host: str = "", doing: str = "hold") -> Other:
            other = Other(settings, seconds, host, doing)
            stack.callback(other.kill)
            return other

        yield start


@pytest.fixture(params=["folder", "moto"])
def settings(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    start_server: StartServer,
    monkeypatch: pytest.MonkeyPatch,
) -> PlaceSettings:
    """A store of each kind."""
    if request.param == "folder":
        return FolderSettings(path=str(tmp_path / "store"))
    return new_bucket(start_server(request.param), monkeypatch).settings(prefix="nightly/kecp")


@pytest.fixture
def folder(tmp_path: Path) -> FolderStore:
    return FolderStore("local", tmp_path / "store")


def rows(store: Store, name: str = "prune") -> list[int]:
    """The numbers that are stored of a lease."""
    found = (key.rpartition("/")[2].split(".") for key in store.keys("platform/leases/"))
    return [int(parts[1]) for parts in found if parts[0] == name]


@contextmanager
def taken(store: Store, within: float, seconds: float = 60) -> Iterator[None]:
    """The lease can be had within so many seconds."""
    with ExitStack() as stack:
        deadline = time.monotonic() + within
        while True:
            with suppress(LockedByAnother):
                stack.enter_context(lease(store, "platform", "prune", seconds=seconds))
                break
            assert time.monotonic() < deadline, "the lease was not to be had in time"
            time.sleep(0.1)
        yield


# --- one holder


def test_on_every_kind_of_store_one_holds_it_and_gives_it_back(store: Store) -> None:
    for turn in range(3):
        with lease(store, "platform", "prune", f"turn {turn}") as held:
            held.check()
            with pytest.raises(LockedByAnother), lease(store, "platform", "prune"):
                pass
            with lease(store, "platform", "drill"), lease(store, "other", "prune"):
                pass
    assert Row(store, "platform", "prune").state().holder is None
    assert rows(store) == [5, 6]
    assert not HELD


def test_leases_are_neither_sets_nor_verdicts_nor_remains(folder: FolderStore) -> None:
    key = store_set(folder, a_key("2026-02-07"))
    with lease(folder, "platform", "prune"):
        (stored,) = folder.keys("platform/leases/")
        assert stored == "platform/leases/prune.000000001.json"
        assert (parse_set_key(stored), parse_verdict_key(stored)) == (None, None)
        found = catalogue(Repository(folder), sizes=True)
    assert ([one.key for one in found.sets], found.incomplete, found.verdicts) == ([key], (), ())


def test_who_holds_it_is_said_in_one_sentence(settings: PlaceSettings, others: Callable[..., Other]) -> None:
    store = open_store("nightly", settings)
    other = others(settings, 60)
    assert other.says() == "held"
    with pytest.raises(LockedByAnother) as caught, lease(store, "platform", "prune"):
        pass
    message = str(caught.value)
    assert message.startswith(
        f"Another prune of platform in {store.address} is running: 'nightly-backup calm-otter' on "
        f"{os.uname().nodename}, process {other.process.pid}, since 20"
    )
    assert message.endswith("wait for it or end it, then start again.")
    assert "\n" not in message


def test_an_error_in_the_block_gives_it_back(folder: FolderStore) -> None:
    with pytest.raises(ZeroDivisionError), lease(folder, "platform", "prune"):
        raise ZeroDivisionError
    assert Row(folder, "platform", "prune").state().holder is None
    with lease(folder, "platform", "prune"):
        pass


def test_one_waits_for_another(folder: FolderStore) -> None:
    first = lease(folder, "platform", "prune")
    first.__enter__()
    timer = threading.Timer(0.5, first.__exit__, (None, None, None))
    timer.start()
    began = time.monotonic()
    with lease(folder, "platform", "prune", wait_seconds=10):
        assert 0.3 < time.monotonic() - began < 5
    timer.join()


# --- a holder that dies, stops or is cut off


def test_kill_9_of_a_holder_on_this_host_gives_it_to_the_next_at_once(
    settings: PlaceSettings, others: Callable[..., Other]
) -> None:
    store = open_store("nightly", settings)
    other = others(settings, 86400)
    assert other.says() == "held"
    with pytest.raises(LockedByAnother), lease(store, "platform", "prune"):
        pass
    other.kill()
    with lease(store, "platform", "prune") as held:
        held.check()
    assert rows(store) == [2, 3]


def test_kill_9_of_a_holder_on_another_host_gives_it_to_the_next_when_its_time_is_over(
    settings: PlaceSettings, others: Callable[..., Other]
) -> None:
    store = open_store("nightly", settings)
    other = others(settings, 2, OTHER_HOST)
    assert other.says() == "held"
    time.sleep(5)  # it is renewed: more than its time passes
    with pytest.raises(LockedByAnother), lease(store, "platform", "prune"):
        pass
    deadline = time.monotonic() + 10
    while len(rows(store)) > 2:  # it is just being renewed, and then clears the last one away
        assert time.monotonic() < deadline
        time.sleep(0.05)
    other.kill()
    with pytest.raises(LockedByAnother), lease(store, "platform", "prune"):
        pass
    with taken(store, within=8):
        pass


def test_a_stopped_holder_loses_it_and_learns_so(settings: PlaceSettings, others: Callable[..., Other]) -> None:
    store = open_store("nightly", settings)
    other = others(settings, 1)
    assert other.says() == "held"
    other.send(signal.SIGSTOP)
    with taken(store, within=8):
        other.send(signal.SIGCONT)
        assert other.says().startswith(f"The lease of this prune of platform in {store.address} was lost:")
        other.process.wait(10)
        with pytest.raises(LockedByAnother), lease(store, "platform", "prune"):
            pass


def test_of_many_that_take_over_at_once_one_gets_it(settings: PlaceSettings, others: Callable[..., Other]) -> None:
    store = open_store("nightly", settings)
    dead = others(settings, 60)
    assert dead.says() == "held"
    racing = [others(settings, 60, doing="race") for _ in range(4)]
    assert [other.says() for other in racing] == ["ready"] * 4
    dead.kill()
    for other in racing:
        other.proceed()
    outcomes = [other.says() for other in racing]
    assert sorted(outcomes) == ["lost", "lost", "lost", "won"]
    racing[outcomes.index("won")].proceed()
    with taken(store, within=10):
        pass


def test_what_is_done_under_it_is_done_one_at_a_time(
    settings: PlaceSettings, others: Callable[..., Other], tmp_path: Path
) -> None:
    count = tmp_path / "count"
    count.write_text("0")
    counting = [others(settings, 60, doing="count") for _ in range(3)]
    assert [other.says() for other in counting] == ["ready"] * 3
    for other in counting:
        other.proceed(str(count))
    assert [other.says() for other in counting] == ["counted"] * 3
    assert count.read_text() == "15"


class Faulty(FolderStore):
    """A folder that loses answers, is cut off, or lets nobody delete, when told to."""

    lose_answers = 0
    cut_off = False
    no_deleting = False

    def create(self, key: str, data: bytes) -> bool:
        if self.cut_off:
            raise TransientFailure("the store cannot be reached")
        done = super().create(key, data)
        if self.lose_answers:
            self.lose_answers -= 1
            raise TransientFailure("the answer was lost")
        return done

    def delete(self, keys: Iterable[str]) -> Deletion:
        if self.no_deleting:
            raise ConfigurationError("not allowed")
        return super().delete(keys)


@pytest.fixture
def faulty(tmp_path: Path) -> Faulty:
    return Faulty("local", tmp_path / "store")


def test_a_lost_answer_to_taking_it_does_not_lock_the_next_try_out(faulty: Faulty) -> None:
    faulty.lose_answers = 1
    with pytest.raises(TransientFailure), lease(faulty, "platform", "prune"):
        pass
    assert rows(faulty) == [1]
    with lease(faulty, "platform", "prune"):
        pass
    assert rows(faulty) == [2, 3]


def test_lost_answers_to_renewals_lose_nothing(faulty: Faulty) -> None:
    with lease(faulty, "platform", "prune", seconds=1.5) as held:
        faulty.lose_answers = 2
        time.sleep(3.0)
        held.check()
        assert rows(faulty)[-1] >= 4
        faulty.lose_answers = 0
    assert Row(faulty, "platform", "prune").state().holder is None


def test_a_lost_answer_to_giving_it_back_loses_nothing(faulty: Faulty) -> None:
    with lease(faulty, "platform", "prune"):
        faulty.lose_answers = 1
    assert faulty.lose_answers == 0
    state = Row(faulty, "platform", "prune").state()
    assert (state.number, state.holder) == (2, None)
    with lease(faulty, "platform", "prune"):
        assert Row(faulty, "platform", "prune").state().number == 3


def test_a_holder_that_cannot_renew_in_time_stops(faulty: Faulty) -> None:
    with lease(faulty, "platform", "prune", seconds=0.5) as held:
        held.check()
        faulty.cut_off = True
        time.sleep(0.8)
        with pytest.raises(TransientFailure, match="could not be renewed in time"):
            held.check()
    faulty.cut_off = False
    with lease(faulty, "platform", "prune"):
        pass


def test_a_store_that_lets_nobody_delete_keeps_small_objects_only(faulty: Faulty) -> None:
    faulty.no_deleting = True
    for _ in range(3):
        with lease(faulty, "platform", "prune"):
            pass
    assert rows(faulty) == [1, 2, 3, 4, 5, 6]
    faulty.no_deleting = False
    with lease(faulty, "platform", "prune"):
        assert rows(faulty) == [6, 7]


# --- who comes late, and what is damaged


def test_who_creates_a_number_that_was_used_already_has_lost(folder: FolderStore) -> None:
    with lease(folder, "platform", "prune"):
        row = Row(folder, "platform", "prune")
        state = row.state()
        late = state.holder
        assert late is not None
    for _ in range(3):
        with lease(folder, "platform", "prune"):
            pass
    assert rows(folder) == [7, 8]
    assert not row.append(2, late)
    assert not row.append(8, late)
    assert rows(folder) == [7, 8]


def test_a_damaged_lease_is_somebodys_until_its_time_is_over(folder: FolderStore, tmp_path: Path) -> None:
    key = "platform/leases/prune.000000007.json"
    write(folder, key, b'{"format": 2')
    with (
        pytest.raises(LockedByAnother, match="unreadable"),
        lease(folder, "platform", "prune"),
    ):
        pass
    past = time.time() - 200
    os.utime(tmp_path / "store" / key, (past, past))
    with lease(folder, "platform", "prune"):
        assert rows(folder) == [7, 8]


def test_a_file_time_in_the_future_locks_nobody_out(
    folder: FolderStore, tmp_path: Path, others: Callable[..., Other]
) -> None:
    other = others(FolderSettings(path=str(tmp_path / "store")), 60, OTHER_HOST)
    assert other.says() == "held"
    other.kill()
    future = time.time() + 86400
    os.utime(tmp_path / "store" / "platform/leases/prune.000000001.json", (future, future))
    with lease(folder, "platform", "prune"):
        pass


@pytest.mark.parametrize("step", [-3600, 3600])
def test_a_step_of_the_clock_takes_no_lease_from_a_holder_of_this_host(
    folder: FolderStore, tmp_path: Path, others: Callable[..., Other], step: int
) -> None:
    other = others(FolderSettings(path=str(tmp_path / "store")), 60)
    assert other.says() == "held"
    before = time.time() - step
    os.utime(tmp_path / "store" / "platform/leases/prune.000000001.json", (before, before))
    with pytest.raises(LockedByAnother), lease(folder, "platform", "prune"):
        pass


def test_what_a_killed_process_left_of_telling_the_time_is_cleared_away(folder: FolderStore, tmp_path: Path) -> None:
    write(folder, "platform/leases/clock-00000000000000aa.json", b"{}")
    past = time.time() - 4000
    os.utime(tmp_path / "store" / "platform/leases/clock-00000000000000aa.json", (past, past))
    with lease(folder, "platform", "prune"):
        assert list(folder.keys()) == ["platform/leases/prune.000000001.json"]


def test_a_bucket_with_object_lock_keeps_no_lease(start_server: StartServer, monkeypatch: pytest.MonkeyPatch) -> None:
    bucket = new_bucket(start_server("moto"), monkeypatch, ObjectLockEnabledForBucket=True)
    store = open_store("nightly", bucket.settings(lock_mode="GOVERNANCE", lock_days=30))
    for _ in range(3):
        with lease(store, "platform", "prune", seconds=3.0) as held:
            time.sleep(3.0)
            held.check()
    versions = bucket.client.list_object_versions(Bucket=bucket.name)
    assert len(versions["Versions"]) == 2


# --- prunings and drills


def test_a_pruning_leaves_the_set_of_a_drill_alone(folder: FolderStore) -> None:
    keys = a_week(folder, "app")
    plan = plan_prune(Repository(folder, retention=POLICY), "platform", NOW)
    assert {one.key for one in plan.pruned} == set(keys[3:])
    with drilling(folder, keys[5], "restore-drill"):
        assert leased_sets(folder, "platform") == {keys[5]}
        report = prune(Repository(folder), plan, "platformctl prune")
    assert set(report.deleted) == {keys[3], keys[4], keys[6], keys[7]}
    assert report.spared == (keys[5],)
    assert leased_sets(folder, "platform") == frozenset()
    assert prune(Repository(folder), plan_prune(Repository(folder, retention=POLICY), "platform", NOW)).deleted == (
        keys[5],
    )


def test_two_prunings_and_two_drills_of_one_source_are_refused(folder: FolderStore) -> None:
    keys = a_week(folder, "app")
    plan = plan_prune(Repository(folder, retention=POLICY), "platform", NOW)
    with drilling(folder, keys[0]):
        with pytest.raises(LockedByAnother, match="Another drill of platform"), drilling(folder, keys[1]):
            pass
        with lease(folder, "platform", "prune"), pytest.raises(LockedByAnother, match="Another prune"):
            prune(Repository(folder), plan)
    assert {one.key for one in catalogue(Repository(folder)).sets} == set(keys)


def test_a_drill_waits_for_a_pruning_that_may_not_know_of_it(folder: FolderStore) -> None:
    key = store_set(folder, a_key("2026-02-07"))
    with lease(folder, "platform", "prune"):
        with pytest.raises(LockedByAnother, match="Another prune"), drilling(folder, key, wait_seconds=0.3):
            pass
        assert Row(folder, "platform", "drill").state().holder is None
    with drilling(folder, key):
        pass


def test_a_pruning_that_lost_its_lease_deletes_no_more() -> None:
    store = MemoryStore()
    for day in range(600):
        store_set(store, a_key(f"{NOW - timedelta(days=day, hours=1):%Y-%m-%d %H:%M}", "app"))
    plan = plan_prune(Repository(store, retention=POLICY), "platform", NOW)
    requested = iter((None, TransientFailure("the lease was lost")))

    def check() -> None:
        if problem := next(requested):
            raise problem

    with pytest.raises(TransientFailure, match="was lost"):
        apply_prune(Repository(store), plan, before_each=check)
    found = catalogue(Repository(store))
    assert (len(found.sets), found.incomplete) == (350, ())
