"""Copies in a second store: byte for byte, whole or not at all, and the first store is never touched."""

from __future__ import annotations

import os
import pickle
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest

from engine.config.settings import Retention
from engine.errors import (
    ConfigurationError,
    CouldNotVerify,
    OperationFailed,
    PartialSuccess,
    PlatformOpsError,
    TransientFailure,
)
from engine.repository.catalogue import catalogue
from engine.repository.copies import CopyRun, failed_copy, require_copies, update_copy
from engine.repository.copying import copy_set
from engine.repository.keys import SetKey
from engine.repository.lacking import missing
from engine.repository.lease import lease
from engine.repository.manifest import to_json
from engine.repository.repository import Repository
from engine.repository.verify import verify_set
from engine.repository.writing import SetWriter
from engine.stores.base import ByteWriter, Store
from engine.stores.folder import FolderStore
from tests.engine.repository.made import NOW, MemoryStore, a_body, a_key, judge, store_set, write
from tests.engine.stores.buckets import IMPATIENT, S3Bucket
from tests.engine.stores.proxy import proxy_to

KEY = a_key("2026-02-07 17:00")
FILES = {
    "000-globals.sql.gz": b"roles" * 100,
    "001-app.sql.gz": b"rows" * 5000,
    "001-app.proof.json.gz": b"p",
}


class Further(FolderStore):
    """A second store that counts what is written and can fail at a key, or at all of them."""

    def __init__(self, path: Path) -> None:
        super().__init__("offsite", path)
        self.written: list[str] = []
        self.fails: dict[str, PlatformOpsError] = {}

    @contextmanager
    def writer(self, key: str, *, expected_bytes: int | None = None) -> Iterator[ByteWriter]:
        with super().writer(key, expected_bytes=expected_bytes) as out:
            yield out
            for part, error in self.fails.items():
                if part in key:
                    raise error
        self.written.append(key.rpartition("/")[2])


@pytest.fixture
def first(tmp_path: Path) -> FolderStore:
    return FolderStore("nightly", tmp_path / "first")


@pytest.fixture
def further(tmp_path: Path) -> Further:
    return Further(tmp_path / "further")


def contents(store: Store, prefix: str = "") -> dict[str, bytes]:
    """Everything in a store but leases, byte for byte."""
    found = {}
    for key in store.keys(prefix):
        if "/leases/" not in key:
            with store.reader(key) as source:
                found[key] = b"".join(iter(lambda: source.read(2**20), b""))
    return found


# --- one set


def test_on_every_kind_of_store_a_copy_is_byte_for_byte(store: Store, first: FolderStore) -> None:
    big = random.Random(1).randbytes(6 * 2**20)  # noqa: S311
    key = store_set(first, KEY, {**FILES, "002-big.sql.gz": big})
    report = copy_set(Repository(first), Repository(store), key)
    assert (report.key, report.files, report.bytes) == (key, 5, sum(map(len, contents(first).values())))
    assert contents(store) == contents(first)
    assert verify_set(Repository(store), key).result == "passed"
    assert [(one.key, one.state) for one in catalogue(Repository(store)).sets] == [(key, "recorded")]


def test_the_manifest_is_written_last(first: FolderStore, further: Further) -> None:
    copy_set(Repository(first), Repository(further), store_set(first, KEY, FILES))
    assert sorted(further.written[:-1]) == sorted(FILES)
    assert further.written[-1] == "manifest.json"


def test_a_set_that_is_there_whole_is_left(first: FolderStore, further: Further) -> None:
    key = store_set(first, KEY, FILES)
    copy_set(Repository(first), Repository(further), key)
    further.written.clear()
    report = copy_set(Repository(first), Repository(further), key)
    assert (report.files, report.bytes, further.written) == (0, 0, [])


def test_verdicts_stay_in_their_own_store(first: FolderStore, further: Further) -> None:
    key = store_set(first, KEY, FILES)
    judge(first, key, "drill", "passed", "2026-02-07 17:30")
    copy_set(Repository(first), Repository(further), key)
    assert catalogue(Repository(first)).sets[0].state == "proven"
    assert catalogue(Repository(further)).sets[0].state == "recorded"


def test_a_half_copy_is_finished_and_what_is_not_of_the_set_goes(first: FolderStore, further: Further) -> None:
    key = store_set(first, KEY, FILES)
    write(further, key.prefix + "000-globals.sql.gz", FILES["000-globals.sql.gz"])
    write(further, key.prefix + "001-app.sql.gz", b"sowr" * 5000)
    write(further, key.prefix + "099-other.sql.gz", b"DROP DATABASE app")
    further.written.clear()
    report = copy_set(Repository(first), Repository(further), key)
    assert further.written == ["001-app.sql.gz", "001-app.proof.json.gz", "manifest.json"]
    assert report.files == 3
    assert contents(further) == contents(first)


@pytest.mark.parametrize("kept", [True, False])
def test_a_copy_that_fails_is_no_set(first: FolderStore, further: Further, kept: bool) -> None:
    key = store_set(first, KEY, FILES)
    before = contents(first)
    further.fails["001-app.proof"] = TransientFailure("reset") if kept else OperationFailed("disk full")
    with pytest.raises(OperationFailed, match="reset" if kept else "disk full"):
        copy_set(Repository(first), Repository(further), key)
    assert catalogue(Repository(further)).sets == ()
    assert sorted(contents(further)) == ([f"{key}/000-globals.sql.gz", f"{key}/001-app.sql.gz"] if kept else [])
    assert contents(first) == before
    further.fails.clear()
    copy_set(Repository(first), Repository(further), key)
    assert contents(further) == before


def test_a_copy_that_lost_a_file_is_no_set_until_it_is_whole_again(first: FolderStore, further: Further) -> None:
    key = store_set(first, KEY, FILES)
    copy_set(Repository(first), Repository(further), key)
    further.delete([f"{key}/001-app.sql.gz"])
    further.fails["001-app.sql"] = TransientFailure("reset")
    with pytest.raises(TransientFailure):
        copy_set(Repository(first), Repository(further), key)
    assert catalogue(Repository(further)).sets == ()
    further.fails.clear()
    copy_set(Repository(first), Repository(further), key)
    assert verify_set(Repository(further), key).result == "passed"


@pytest.mark.parametrize("stored", [b"sowr" * 5000, b"rows" * 4999, b"rows" * 5001], ids=["other", "less", "more"])
def test_damage_is_not_copied(first: FolderStore, further: Further, stored: bytes) -> None:
    key = store_set(first, KEY, FILES)
    write(first, key.prefix + "001-app.sql.gz", stored)
    with pytest.raises(OperationFailed, match=r"differs from its manifest at 001-app\.sql\.gz"):
        copy_set(Repository(first), Repository(further), key)
    assert contents(further) == {}


def test_an_edited_manifest_is_not_copied(first: FolderStore, further: Further) -> None:
    key = store_set(first, KEY, FILES)
    edited = contents(first)[key.manifest].replace(b'"server_version": "16.2"', b'"server_version": "17.0"')
    write(first, key.manifest, edited)
    with pytest.raises(OperationFailed, match="changed after it was written"):
        copy_set(Repository(first), Repository(further), key)
    assert contents(further) == {}


def test_another_set_under_the_same_key_is_not_overwritten(first: FolderStore, further: Further) -> None:
    key = store_set(first, KEY, FILES)
    store_set(further, KEY, {"000-globals.sql.gz": b"somebody else's"})
    before = contents(further)
    with pytest.raises(OperationFailed, match="another manifest"):
        copy_set(Repository(first), Repository(further), key)
    assert contents(further) == before


def test_a_store_that_asks_for_encryption_gets_no_plain_set(first: FolderStore, further: Further) -> None:
    key = store_set(first, KEY, FILES)
    with pytest.raises(ConfigurationError, match=r"\[stores\.offsite\] has recipients"):
        copy_set(Repository(first), Repository(further, recipients=("age1other",)), key)
    assert contents(further) == {}
    body = a_body(KEY, FILES).model_copy(update={"encrypted": True, "recipients": ("age1one",)})
    write(first, key.manifest, to_json(Repository(first), body))
    copy_set(Repository(first), Repository(further, recipients=("age1other",)), key)
    assert contents(further) == contents(first)


def test_signed_sets_need_the_same_digest_key(first: FolderStore, further: Further) -> None:
    key = store_set(first, KEY, FILES, digest_key="secret")
    with pytest.raises(CouldNotVerify, match="no digest_key is configured"):
        copy_set(Repository(first), Repository(further), key)
    with pytest.raises(ConfigurationError, match="give both the same digest_key"):
        copy_set(Repository(first, digest_key="secret"), Repository(further), key)
    assert contents(further) == {}
    copy_set(Repository(first, digest_key="secret"), Repository(further, digest_key="secret"), key)
    assert verify_set(Repository(further, digest_key="secret"), key).result == "passed"


COPIER = """
import sys, time
from contextlib import contextmanager
from pathlib import Path
from engine.repository.copying import copy_set
from engine.repository.parsing import parse_set
from engine.repository.repository import Repository
from engine.stores.folder import FolderStore

class Slow(FolderStore):
    @contextmanager
    def writer(self, key, *, expected_bytes=None):
        with super().writer(key, expected_bytes=expected_bytes) as out:
            yield out
            if sys.argv[4] in key:
                print("writing", flush=True)
                time.sleep(60)

copy_set(Repository(FolderStore("nightly", Path(sys.argv[1]))), Repository(Slow("offsite", Path(sys.argv[2]))),
         parse_set(sys.argv[3]))
"""


@pytest.mark.parametrize("at", ["000-globals", "001-app.proof", "manifest"])
def test_kill_9_of_a_copy_leaves_no_set_and_the_next_backup_run_makes_it_whole(
    first: FolderStore, further: Further, at: str
) -> None:
    key = store_set(first, KEY, FILES)
    argv = [sys.executable, "-c", COPIER, first.address, further.address, str(key), at]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "writing\n"
        os.kill(process.pid, signal.SIGKILL)
    assert catalogue(Repository(further)).sets == ()
    run = update_copy(Repository(first), Repository(further), "platform", NOW)
    assert (run.problem, len(run.copied)) == ("", 1)
    assert contents(further) == contents(first)
    assert not list(Path(further.address).rglob(".part-*"))


# --- a backup run


def a_week(store: Store) -> list[SetKey]:
    """Eight nightly sets of the database `app`, the newest first."""
    backup_runs = [f"{NOW - timedelta(days=day, hours=1):%Y-%m-%d %H:%M}" for day in range(8)]
    return [store_set(store, a_key(backup_run, "app")) for backup_run in backup_runs]


def test_what_lacks_is_copied_newest_first_and_only_that(first: FolderStore, further: Further) -> None:
    keys = a_week(first)
    copy_set(Repository(first), Repository(further), keys[2])
    run = update_copy(Repository(first), Repository(further), "platform", NOW)
    assert [report.key for report in run.copied] == [*keys[:2], *keys[3:7]]
    assert (run.lacking, run.failures, run.problem) == ((), {}, "")
    again = update_copy(Repository(first), Repository(further), "platform", NOW)
    assert (again.copied, again.problem) == ([], "")


def test_which_sets_lack_is_judged_from_one_listing_of_each_store() -> None:
    first, second = MemoryStore(), MemoryStore()
    a_week(first)
    mine, theirs = catalogue(Repository(first), "platform"), catalogue(Repository(second), "platform")
    assert len(missing(mine, theirs, Repository(second), NOW)) == 7
    assert len(missing(mine, theirs, Repository(second), NOW, days=2)) == 2
    assert (first.requests, second.requests) == (["list platform/"], ["list platform/"])


def test_failed_sets_and_those_of_other_sources_are_not_copied(first: FolderStore, further: Further) -> None:
    keys = a_week(first)[:3]
    judge(first, keys[1], "drill", "failed", "2026-02-07 17:30")
    store_set(first, a_key("2026-02-07", source="other"))
    update_copy(Repository(first), Repository(further), "platform", NOW)
    copied = [one.key for one in catalogue(Repository(further)).sets]
    assert keys[0] in copied
    assert keys[1] not in copied
    assert {key.source for key in copied} == {"platform"}


def test_each_store_has_its_own_retention_and_what_it_lets_go_is_not_copied_again(
    first: FolderStore, further: Further
) -> None:
    keys = a_week(first)
    short = {"db": Retention(days=2, minimum=1)}
    repository = Repository(further, retention=short)
    old = store_set(further, keys[6], {"app.dump.gz": b"dump" * 500, "proof.json.gz": b"proof"})
    run = update_copy(Repository(first), repository, "platform", NOW)
    assert [report.key for report in run.copied] == keys[:2]
    assert run.pruned is not None
    assert run.pruned.deleted == (old,)
    assert {one.key for one in catalogue(Repository(further)).sets} == set(keys[:2])
    assert len(catalogue(Repository(first)).sets) == 8
    assert update_copy(Repository(first), repository, "platform", NOW).copied == []


def test_sets_of_a_kind_that_the_further_store_does_not_know_are_copied_and_stay(
    first: FolderStore, further: Further
) -> None:
    keys = [store_set(first, key._replace(kind="hologram")) for key in a_week(first)]
    repository = Repository(further, retention={"db": Retention(days=2, minimum=1)})
    run = update_copy(Repository(first), repository, "platform", NOW)
    assert [report.key for report in run.copied if report.key.kind == "hologram"] == keys[:7]
    assert run.plan is not None
    assert {one.set.key for one in run.plan.decisions if one.set.key.kind == "hologram" and one.keep} == set(keys[:7])


def test_a_set_goes_after_what_it_needs_which_stays_until_then(first: FolderStore, further: Further) -> None:
    """And no set is published in the first store either whose parts a pruning let go."""
    policy = {"image": Retention(days=0, last=1, minimum=1), "blob": Retention(days=1, minimum=1, needed_by="image")}
    mine, theirs = Repository(first, retention=policy), Repository(further, retention=policy)
    base, own, more = (
        store_set(first, a_key(at, name, kind="blob"), {"blob.gz": name.encode()})
        for at, name in (("2026-02-03 17:00", "base"), ("2026-02-07 17:00", "own"), ("2026-02-07 17:10", "more"))
    )

    def publish(at: str, *needs: SetKey) -> SetKey:
        out = SetWriter(mine, a_key(at, kind="image"))
        out.needs = list(needs)
        out.add("images.json", b"{}", "images")
        out.publish(Retention())
        return out.key

    image = publish("2026-02-07 17:20", base, own)
    further.fails[own.set_id] = TransientFailure("Writing it to offsite failed: reset; start again.")
    run = update_copy(mine, theirs, "platform", NOW)
    assert set(run.lacking) == {own, image} and str(own) in run.failures[image] and run.retryable
    assert {one.key for one in catalogue(theirs).sets} == {base, more}  # four days old, and to be needed
    further.fails.clear()
    run = update_copy(mine, theirs, "platform", NOW)
    assert not run.problem and [report.key for report in run.copied] == [own, image]

    first.delete([more.manifest])
    with pytest.raises(TransientFailure, match="was not published: it needs platform/blob/more"):
        publish("2026-02-07 17:30", base, more)
    assert len(catalogue(mine).of("platform").assets[image.asset]) == 1


def test_retention_can_be_left_out(first: FolderStore, further: Further) -> None:
    a_week(first)
    run = update_copy(Repository(first), Repository(further), "platform", NOW, apply_retention=False)
    assert (run.plan, run.pruned) == (None, None)


def test_a_backup_run_s_failed_copy_is_made_up_by_the_next(first: FolderStore, further: Further) -> None:
    keys = a_week(first)
    further.fails[keys[1].set_id] = TransientFailure("Writing it to offsite failed: reset; start again.")
    run = update_copy(Repository(first), Repository(further), "platform", NOW)
    assert run.lacking == (keys[1],)
    assert len(run.copied) == 6
    assert run.problem == (
        "The backup is in the first store, nightly; the copy to offsite is missing 1 set, which the next backup run "
        "copies: Writing it to offsite failed: reset; start again."
    )
    assert run.retryable
    further.fails.clear()
    run = update_copy(Repository(first), Repository(further), "platform", NOW + timedelta(hours=1))
    assert [report.key for report in run.copied] == [keys[1]]
    assert run.problem == ""


def test_after_three_failures_in_a_row_the_store_is_left_alone(first: FolderStore, further: Further) -> None:
    keys = a_week(first)
    further.fails["manifest"] = OperationFailed("disk full")
    run = update_copy(Repository(first), Repository(further), "platform", NOW)
    assert list(run.failures) == keys[:3]
    assert run.lacking == tuple(keys[:7])
    assert not run.retryable
    assert "is missing 7 sets" in run.problem


def test_what_killed_copies_left_goes_unless_it_is_copied_now(first: FolderStore, further: Further) -> None:
    key = store_set(first, KEY, FILES)
    write(further, key.prefix + "001-app.sql.gz", FILES["001-app.sql.gz"])
    gone = a_key("2026-02-06", "app")
    write(further, gone.prefix + "app.dump.gz", b"half")
    other = a_key("2026-02-06", "app", source="other")
    write(further, other.prefix + "app.dump.gz", b"somebody writes this")
    further.written.clear()
    update_copy(Repository(first), Repository(further), "platform", NOW)
    assert "001-app.sql.gz" not in further.written
    assert [one.key for one in catalogue(Repository(further)).incomplete] == [other]


def test_a_second_store_that_is_not_there_spoils_nothing(first: FolderStore, tmp_path: Path) -> None:
    a_week(first)
    before = contents(first)
    away = FolderStore("offsite", tmp_path / "not mounted" / "store")
    run = update_copy(Repository(first), Repository(away), "platform", NOW)
    assert run.problem.startswith(
        "The first store, nightly, has everything; the copy to offsite was not made, and the next backup run makes it "
        "up: The folder of store 'offsite'"
    )
    assert run.copied == []
    assert contents(first) == before
    assert not (tmp_path / "not mounted").exists()


def test_retention_that_cannot_be_applied_is_told(first: FolderStore, further: Further) -> None:
    store_set(first, KEY, FILES)
    repository = Repository(further)
    write(further, "platform/leases/prune.000000001.json", b"damaged: somebody's until its time is over")
    began = time.monotonic()
    run = update_copy(Repository(first), repository, "platform", NOW, patience_seconds=0.2)
    assert time.monotonic() - began < 30
    assert [report.key for report in run.copied] == [KEY]
    assert run.problem.startswith(
        "The copy to offsite is whole, but retention could not be applied there: Another prune of platform in"
    )


def test_a_pruning_elsewhere_is_waited_for(first: FolderStore, further: Further) -> None:
    store_set(first, KEY, FILES)
    with lease(further, "platform", "prune"):
        run = update_copy(Repository(first), Repository(further), "platform", NOW, patience_seconds=0.2)
    assert run.pruned is None
    assert update_copy(Repository(first), Repository(further), "platform", NOW).problem == ""


def test_an_s3_store_that_goes_down_in_the_middle(first: FolderStore, moto: S3Bucket) -> None:
    big = random.Random(2).randbytes(12 * 2**20)  # noqa: S311
    key = store_set(first, KEY, {"000-globals.sql.gz": b"roles", "001-app.sql.gz": big})
    with proxy_to(moto.server.url) as proxy:
        store = moto.store(IMPATIENT, endpoint_url=proxy.url)
        fault = proxy.inject("PUT", "partNumber=2", "500")
        run = update_copy(Repository(first), Repository(store), "platform", NOW)
        assert (run.lacking, run.retryable) == ((key,), True)
        assert catalogue(Repository(store)).sets == ()
        assert moto.uploads() == []
        fault.turns = 0
        run = update_copy(Repository(first), Repository(store), "platform", NOW)
    assert [(report.key, report.files) for report in run.copied] == [(key, 2)]
    assert verify_set(Repository(moto.store()), key).result == "passed"


# --- what the run comes to


def test_what_a_store_missed_is_a_partial_success_that_survives_pickling(tmp_path: Path) -> None:
    good = CopyRun("nightly", "near", "/near")
    require_copies([good])
    bad = failed_copy("nightly", "far", TransientFailure("The server of far cannot be reached."))
    with pytest.raises(PartialSuccess) as caught:
        require_copies([good, bad])
    again = pickle.loads(pickle.dumps(caught.value))  # noqa: S301
    assert str(again) == (
        "The first store, nightly, has everything; the copy to far was not made, and the next backup run makes it up: "
        "The server of far cannot be reached."
    )
    assert (again.exit_code, again.retryable) == (5, True)
    assert PartialSuccess("").retryable is False
    wrapped = failed_copy("nightly", "far", again)
    assert wrapped.problem == str(again)
