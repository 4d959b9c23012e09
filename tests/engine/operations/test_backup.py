"""A backup run over a source in memory: which steps in which order, and what each failure leaves behind."""

from __future__ import annotations

import gzip
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from engine.errors import (
    ConfigurationError,
    ItemGone,
    LockedByAnother,
    OperationFailed,
    PartialSuccess,
    TransientFailure,
)
from engine.operations.backup import BackupRun
from engine.repository.catalogue import catalogue
from engine.repository.keys import SetKey, new_set_id
from engine.repository.manifest import read_manifest
from engine.repository.repository import Repository
from engine.repository.verify import verify_set
from engine.sources.item import Item
from engine.stores.base import ByteWriter, Deletion, Store
from engine.stores.folder import FolderStore
from tests.engine.operations.shelf import Runs, ThingFacts
from tests.engine.repository.made import MemoryStore, judge, store_set, write


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore("nightly")


@pytest.fixture
def backup_run(store: MemoryStore) -> Runs:
    return Runs({"nightly": store})


def stored(store: Store) -> list[str]:
    """What sets there are, complete or not, without their ids."""
    found = catalogue(Repository(store), "shelf")
    return [
        *sorted(one.key.asset.label for one in found.sets),
        *sorted(f"{one.key.asset.label} without a manifest" for one in found.incomplete),
    ]


def an_old_set(store: Store, kind: str = "thing", name: str = "small", days: int = 2) -> SetKey:
    """One that retention lets go as soon as there is another."""
    at = datetime.now(UTC) - timedelta(days=days)
    return store_set(store, SetKey("shelf", kind, name, new_set_id(at, "old", kind, name)))


# --- a good backup run


def test_the_steps_of_a_backup_run_come_in_this_order() -> None:
    backup_run = Runs({"nightly": MemoryStore("nightly"), "offsite": MemoryStore("offsite"), "far": MemoryStore("far")})
    backup_run.carry_out()
    assert backup_run.shelf.log == [
        "lock for nightly-backup",
        "sweep what a killed run left of shelf",
        "put back",
        "look at the shelf",
        "back up thing large",  # the largest first
        "back up thing small",
        "back up all",
        "copy to offsite",
        "copy to far",
        "apply retention to shelf",
        "unlock",
    ]


def test_each_thing_gets_a_set_and_all_together_another(store: MemoryStore, backup_run: Runs) -> None:
    run = backup_run.carry_out()
    assert sorted(key for key in store.objects if "/leases/" not in key) == [
        f"shelf/all/{new_set_id(run.started, 'calm-otter', 'all', '')}/index.txt.gz",
        f"shelf/all/{new_set_id(run.started, 'calm-otter', 'all', '')}/large.bin.gz",
        f"shelf/all/{new_set_id(run.started, 'calm-otter', 'all', '')}/manifest.json",
        f"shelf/all/{new_set_id(run.started, 'calm-otter', 'all', '')}/small.bin.gz",
        f"shelf/thing/large/{new_set_id(run.started, 'calm-otter', 'thing', 'large')}/manifest.json",
        f"shelf/thing/large/{new_set_id(run.started, 'calm-otter', 'thing', 'large')}/thing.bin.gz",
        f"shelf/thing/small/{new_set_id(run.started, 'calm-otter', 'thing', 'small')}/manifest.json",
        f"shelf/thing/small/{new_set_id(run.started, 'calm-otter', 'thing', 'small')}/thing.bin.gz",
    ]
    for one in catalogue(run.repository).sets:
        assert verify_set(run.repository, one.key).result == "passed"


def test_ids_follow_from_the_time_and_the_token_alone(backup_run: Runs) -> None:
    run = backup_run.run()
    run.started = datetime(2026, 2, 7, 17, tzinfo=UTC)
    backup_run.carry_out(run)
    assert [str(one.key) for one in run.result.stored] == [
        "shelf/thing/small/20260207T170000Z-449f89743c",
        "shelf/thing/large/20260207T170000Z-ac047edc14",
        "shelf/all/20260207T170000Z-e1be9cfad4",
    ]


def test_the_closing_set_says_what_the_others_did(store: MemoryStore, backup_run: Runs) -> None:
    run = backup_run.carry_out()
    closed = run.result.closed
    assert closed is not None
    body = read_manifest(run.repository, closed.key)
    assert body == closed.body
    assert [(file.name, file.role, file.of) for file in body.files] == [
        ("index.txt.gz", "index", ""),
        ("large.bin.gz", "data", "large"),
        ("small.bin.gz", "data", "small"),
    ]
    assert sorted(body.timings) == ["large", "small"]
    assert gzip.decompress(store.objects[closed.key.prefix + "index.txt.gz"]) == b"small,large"


def test_what_a_run_has_come_to(backup_run: Runs) -> None:
    run = backup_run.carry_out()
    result = run.result
    assert (result.source, result.store, result.encrypted) == ("shelf", "nightly", False)
    assert result.found == (Item("thing", "small", 2), Item("thing", "large", 6), Item("all", closes=True))
    assert [one.item for one in result.stored] == list(result.found)  # in the order of a restore
    assert [one.facts for one in result.stored[:2]] == [ThingFacts(letters=2), ThingFacts(letters=6)]
    assert result.stored_bytes == sum(one.body.size for one in result.stored) > 0
    assert (result.failures, result.copies, result.prune_failure, result.missing) == ([], [], "", ())
    assert run.problem() is None
    assert result.seconds > 0
    assert (backup_run.reported.goes, backup_run.reported.failures) == (2, [])


def test_each_set_tells_when_it_was_read(backup_run: Runs) -> None:
    run = backup_run.carry_out()
    (name, timing), *more = run.result.stored[0].body.timings.items()
    assert (name, more) == ("small", [])
    assert timedelta(0) <= timing.started - run.started < timedelta(minutes=1)


def test_as_many_things_at_once_as_there_are_jobs(store: MemoryStore) -> None:
    backup_run = Runs({"nightly": store}, jobs=2)
    together = threading.Barrier(2, timeout=20)

    def meet() -> None:
        if len(backup_run.shelf.log) < 7:  # not when the closing set is made
            together.wait()

    backup_run.shelf.while_backed_up = meet
    assert backup_run.carry_out().problem() is None
    assert stored(store) == ["all", "thing large", "thing small"]


def test_what_a_killed_run_left_goes_first(store: MemoryStore, backup_run: Runs) -> None:
    key = SetKey("shelf", "thing", "small", new_set_id(datetime.now(UTC), "killed", "thing", "small"))
    write(store, key.prefix + "thing.bin.gz", b"half")
    other = SetKey("other", "thing", "small", key.set_id)
    write(store, other.prefix + "thing.bin.gz", b"somebody writes this")
    backup_run.carry_out()
    assert [one.key for one in catalogue(Repository(store)).incomplete] == [other]


def test_retention_lets_old_sets_go(store: MemoryStore, backup_run: Runs) -> None:
    old = an_old_set(store)
    run = backup_run.carry_out()
    assert run.result.plan is not None
    assert run.result.pruned is not None
    assert run.result.pruned.deleted == (old,)
    assert stored(store) == ["all", "thing large", "thing small"]


def test_retention_can_be_left_out_everywhere() -> None:
    first, further = MemoryStore("nightly"), MemoryStore("offsite")
    backup_run = Runs({"nightly": first, "offsite": further})
    old = [an_old_set(first), an_old_set(further)]
    run = backup_run.carry_out(backup_run.run(retain=False))
    assert "apply retention to shelf" not in backup_run.shelf.log
    assert (run.result.plan, run.result.pruned, run.result.copies[0].plan) == (None, None, None)
    assert old[0].manifest in first.objects
    assert old[1].manifest in further.objects


def test_a_thing_that_is_skipped_is_told_and_not_backed_up(store: MemoryStore, backup_run: Runs) -> None:
    backup_run.shelf.skipped["large"] = "it is excluded"
    run = backup_run.carry_out()
    assert "back up thing large" not in backup_run.shelf.log
    assert stored(store) == ["all", "thing small"]
    assert run.result.missing == ("thing large: it is excluded",)
    assert run.problem() is None


def test_what_is_odd_about_the_configuration_is_remarked(store: MemoryStore) -> None:
    run = Runs({"nightly": store}, exclude=("small", "smal")).carry_out()
    assert [remark.partition(",")[0] for remark in run.result.remarks] == ["exclude names 'smal'"]


def test_a_run_is_the_same_into_a_folder(tmp_path: Path) -> None:
    store = FolderStore("nightly", tmp_path)
    run = Runs({"nightly": store}).carry_out()
    assert run.problem() is None
    assert stored(store) == ["all", "thing large", "thing small"]


# --- one thing fails


def test_one_failure_spoils_the_closing_set_and_no_other(store: MemoryStore, backup_run: Runs) -> None:
    backup_run.shelf.failing["large"] = [OperationFailed("The shelf broke.")]
    run = backup_run.carry_out()
    assert stored(store) == ["thing small"]  # and its part of the closing set is taken back
    assert [key for key in store.objects if key.startswith("shelf/all/")] == []
    assert "back up all" not in backup_run.shelf.log
    assert [(item.name, str(error)) for item, error in run.result.failures] == [("large", "The shelf broke.")]
    assert run.result.closed is None
    problem = run.problem()
    assert type(problem) is OperationFailed
    assert str(problem) == "Thing 'large' was not backed up: The shelf broke. 1 other stored."
    assert backup_run.reported.failures == []


def test_after_a_failure_copies_are_made_and_no_retention_is_applied() -> None:
    first, further = MemoryStore("nightly"), MemoryStore("offsite")
    backup_run = Runs({"nightly": first, "offsite": further})
    old, theirs = an_old_set(first), an_old_set(further)
    backup_run.shelf.failing["large"] = [OperationFailed("The shelf broke.")]
    run = backup_run.carry_out()
    assert backup_run.shelf.log[-2:] == ["copy to offsite", "unlock"]
    assert stored(further) == ["thing small", "thing small"]
    assert (run.result.copies[0].plan, run.result.plan) == (None, None)
    assert old.manifest in first.objects
    assert theirs.manifest in further.objects


def test_where_all_fails_the_first_error_is_the_run_s(store: MemoryStore, backup_run: Runs) -> None:
    for name in ("small", "large"):
        backup_run.shelf.failing[name] = [TransientFailure(f"{name} fell.")]
    problem = backup_run.carry_out().problem()
    assert type(problem) is TransientFailure
    assert str(problem) == "Thing 'large' was not backed up: large fell. 1 more failed."
    assert stored(store) == []


def test_a_closing_set_that_fails_is_told_and_leaves_nothing_of_itself(store: MemoryStore, backup_run: Runs) -> None:
    backup_run.shelf.failing["all"] = [OperationFailed("The index broke.")]
    run = backup_run.carry_out()
    assert stored(store) == ["thing large", "thing small"]
    assert "apply retention to shelf" not in backup_run.shelf.log
    assert str(run.problem()) == "The all set was not backed up: The index broke. 2 others stored."


def test_a_failure_takes_back_what_was_stored_of_its_set_and_no_other_run_s(
    store: MemoryStore, backup_run: Runs
) -> None:
    before = an_old_set(store, "all", "", days=0)
    backup_run.shelf.failing["large"] = [OperationFailed("The shelf broke.")]
    backup_run.carry_out()
    assert before.manifest in store.objects
    assert verify_set(Repository(store), before).result == "passed"


# --- a thing that is gone


def test_a_thing_that_was_dropped_meanwhile_is_no_failure(store: MemoryStore, backup_run: Runs) -> None:
    backup_run.shelf.failing["large"] = [ItemGone("large was dropped.")]
    run = backup_run.carry_out()
    assert stored(store) == ["all", "thing small"]
    assert run.problem() is None
    assert [(item.name, item.gone) for item in run.result.found] == [("small", False), ("large", True), ("", False)]
    assert run.result.missing == ("thing large: it was dropped while the backup ran",)
    closed = run.result.closed
    assert closed is not None
    assert [file.name for file in closed.body.files] == ["index.txt.gz", "small.bin.gz"]
    assert verify_set(run.repository, closed.key).result == "passed"  # nothing of it lies there either


@pytest.mark.parametrize("times", [1, 2])
def test_what_is_gone_and_could_not_be_taken_back_makes_no_file_too_many(times: int) -> None:
    class Stubborn(MemoryStore):
        refusals = 0

        def delete(self, keys: Iterable[str]) -> Deletion:
            if self.refusals:
                self.refusals -= 1
                raise TransientFailure("reset by peer")
            return super().delete(keys)

    def refuse() -> None:
        if evening.shelf.failing["large"]:
            stubborn.refusals = times

    stubborn = Stubborn("nightly")
    evening = Runs({"nightly": stubborn})
    evening.shelf.while_backed_up = refuse
    evening.shelf.failing["large"] = [ItemGone("large was dropped.")]
    run = evening.carry_out()
    closed = run.result.closed
    assert closed is not None
    assert verify_set(run.repository, closed.key).result == "passed"


def test_a_wanted_thing_that_was_dropped_is_a_failure(backup_run: Runs) -> None:
    backup_run.shelf.failing["large"] = [ItemGone("large was dropped.")]
    run = backup_run.carry_out(backup_run.run(wanted=[("thing", "large")]))
    assert str(run.problem()) == "Thing 'large' was not backed up: large was dropped."


# --- only some of it


def test_what_is_wanted_alone_makes_no_closing_set(store: MemoryStore, backup_run: Runs) -> None:
    run = backup_run.carry_out(backup_run.run(wanted=[("thing", "small")]))
    assert stored(store) == ["thing small"]
    assert [key for key in store.objects if key.startswith("shelf/all/")] == []
    assert [one.item.name for one in run.result.stored] == ["small"]
    assert run.result.closed is None
    assert run.problem() is None
    assert "apply retention to shelf" in backup_run.shelf.log


def test_what_is_wanted_twice_is_backed_up_once(store: MemoryStore, backup_run: Runs) -> None:
    run = backup_run.carry_out(backup_run.run(wanted=[("thing", "small"), ("thing", "small")]))
    assert backup_run.shelf.log.count("back up thing small") == 1
    assert [one.item.name for one in run.result.stored] == ["small"]


@pytest.mark.parametrize(
    ("wanted", "sentence"),
    [
        (("thing", "smal"), "the shelf has no thing 'smal'; it has: large, small."),
        (("all", ""), "the shelf has no all ''; it has: ."),
        (("thing", "large"), "'large' of the shelf cannot be backed up: it is excluded."),
    ],
)
def test_what_is_wanted_and_cannot_be_had_is_a_mistake(
    store: MemoryStore, backup_run: Runs, wanted: tuple[str, str], sentence: str
) -> None:
    backup_run.shelf.skipped["large"] = "it is excluded"
    with pytest.raises(ConfigurationError) as caught:
        backup_run.carry_out(backup_run.run(wanted=[("thing", "small"), wanted]))
    assert str(caught.value) == sentence
    assert stored(store) == []
    assert backup_run.shelf.log[-1] == "look at the shelf"


# --- the lock


def test_where_another_holds_the_lock_nothing_is_done(store: MemoryStore, backup_run: Runs) -> None:
    backup_run.shelf.locked = True
    with pytest.raises(LockedByAnother):
        backup_run.carry_out()
    assert (backup_run.shelf.log, store.objects) == ([], {})


@pytest.mark.parametrize("questions", [2, 3])
def test_a_lock_that_is_lost_later_keeps_the_run_from_other_stores(store: MemoryStore, questions: int) -> None:
    further = MemoryStore("offsite")
    backup_run = Runs({"nightly": store, "offsite": further})
    backup_run.shelf.lost_after = questions
    with pytest.raises(TransientFailure, match="lock of the shelf was lost"):
        backup_run.carry_out()
    assert "copy to offsite" not in backup_run.shelf.log
    assert further.objects == {}
    assert stored(store) == ["all", "thing large", "thing small"]


def test_what_the_configuration_excludes_is_left_out_by_every_source(store: MemoryStore) -> None:
    run = Runs({"nightly": store}, exclude=("small",)).carry_out()
    assert stored(store) == ["all", "thing large"]
    assert run.result.missing == ("thing small: excluded by the configuration",)


def test_a_lost_lock_ends_the_run(store: MemoryStore) -> None:
    further = MemoryStore("offsite")
    backup_run = Runs({"nightly": store, "offsite": further})
    backup_run.shelf.lost_after = 0
    run = backup_run.run()
    with pytest.raises(TransientFailure, match="lock of the shelf was lost") as caught:
        backup_run.carry_out(run)
    assert "back up all" not in backup_run.shelf.log
    assert "copy to offsite" not in backup_run.shelf.log
    assert stored(store)[0] == "thing large"  # a set that is whole stays
    assert "all" not in stored(store)
    assert further.objects == {}
    assert backup_run.reported.failures == [caught.value]
    assert [one.item.name for one in run.result.stored] == ["large"]
    assert run.result.seconds > 0
    backup_run.shelf.lost_after = None
    backup_run.carry_out()  # the next holder sweeps
    assert catalogue(Repository(store)).incomplete == ()


def test_what_is_swept_by_the_next_holder_is_not_published(store: MemoryStore, backup_run: Runs) -> None:
    def sweep() -> None:
        store.delete([key for key in store.objects if key.endswith("thing.bin.gz") and "/small/" in key])

    backup_run.shelf.while_backed_up = sweep
    run = backup_run.carry_out()
    assert stored(store) == ["thing large"]
    assert "was not published: thing.bin.gz is not there any more" in str(run.problem())


# --- tried again


def test_a_retry_writes_to_the_same_place(store: MemoryStore, backup_run: Runs) -> None:
    for name in ("small", "all"):
        backup_run.shelf.failing[name] = [TransientFailure("reset by peer"), TransientFailure("reset by peer")]
    run = backup_run.carry_out(patient=True)
    assert [backup_run.shelf.log.count(f"back up {what}") for what in ("thing large", "thing small", "all")] == [
        1,
        3,
        3,
    ]
    assert run.problem() is None
    assert [str(one.key) for one in run.result.stored] == [
        f"shelf/thing/small/{new_set_id(run.started, 'calm-otter', 'thing', 'small')}",
        f"shelf/thing/large/{new_set_id(run.started, 'calm-otter', 'thing', 'large')}",
        f"shelf/all/{new_set_id(run.started, 'calm-otter', 'all', '')}",
    ]
    assert stored(store) == ["all", "thing large", "thing small"]
    for one in run.result.stored:
        assert verify_set(run.repository, one.key).result == "passed"


def test_a_thing_is_tried_three_times(backup_run: Runs) -> None:
    backup_run.shelf.failing["small"] = [TransientFailure(f"reset {number}") for number in range(9)]
    run = backup_run.carry_out(patient=True)
    assert backup_run.shelf.log.count("back up thing small") == 3
    assert [str(error) for _, error in run.result.failures] == ["reset 2"]


class Losing(MemoryStore):
    """A store that loses the answer to the first manifest it stored."""

    answers = 1

    @contextmanager
    def writer(self, key: str, *, expected_bytes: int | None = None) -> Iterator[ByteWriter]:
        with super().writer(key, expected_bytes=expected_bytes) as target:
            yield target
        if key.endswith("manifest.json") and self.answers:
            self.answers -= 1
            raise TransientFailure("the answer was lost")


def test_a_manifest_whose_answer_was_lost_is_taken_back_and_written_again() -> None:
    store = Losing("nightly")
    backup_run = Runs({"nightly": store})
    run = backup_run.carry_out(patient=True)
    assert run.problem() is None
    assert stored(store) == ["all", "thing large", "thing small"]
    store.answers = 1
    run = backup_run.carry_out(backup_run.run(wanted=[("thing", "small")]))
    assert str(run.problem()) == "Thing 'small' was not backed up: the answer was lost"
    assert stored(store) == ["all", "thing large", "thing small"]


# --- after the sets are stored


class Unleased(MemoryStore):
    """A store in which no lease can be taken."""

    def create(self, key: str, data: bytes) -> bool:
        raise OperationFailed("no lease can be written")


def test_a_failing_retention_is_told_and_spoils_nothing() -> None:
    store = Unleased("nightly")
    old = an_old_set(store)
    run = Runs({"nightly": store}).carry_out()
    problem = run.problem()
    assert type(problem) is PartialSuccess
    assert str(problem) == ("The backup is stored, but retention could not be applied: no lease can be written")
    assert run.result.pruned is None
    assert old.manifest in store.objects
    assert stored(store) == ["all", "thing large", "thing small", "thing small"]


def test_a_further_store_that_is_not_there_is_told_and_spoils_nothing(store: MemoryStore) -> None:
    old = an_old_set(store)
    far = MemoryStore("far")
    run = Runs({"nightly": store, "offsite": None, "far": far}).carry_out()
    assert str(run.problem()) == (
        "The first store, nightly, has everything; the copy to offsite was not made, and the next backup run makes it up: "
        "The store offsite is not there."
    )
    assert type(run.problem()) is PartialSuccess
    assert [(one.store, bool(one.problem)) for one in run.result.copies] == [("offsite", True), ("far", False)]
    assert stored(far) == stored(store) == ["all", "thing large", "thing small"]
    assert old.manifest not in store.objects


def test_a_copy_that_lacks_a_set_is_told_and_made_up_by_the_next_backup_run(store: MemoryStore) -> None:
    further = Losing("offsite")
    backup_run = Runs({"nightly": store, "offsite": further})
    run = backup_run.carry_out()
    assert (
        str(run.problem()).startswith(
            "The backup is in the first store, nightly; the copy to offsite is missing 1 set, which the next backup run copies: "
        )
        or run.problem() is None
    )
    backup_run.carry_out()
    assert stored(further) == stored(store)


def test_a_copy_has_its_own_retention(store: MemoryStore) -> None:
    further = MemoryStore("offsite")
    theirs = an_old_set(further)
    run = Runs({"nightly": store, "offsite": further}).carry_out()
    assert run.result.copies[0].pruned is not None
    assert run.result.copies[0].pruned.deleted == (theirs,)


def test_a_copy_that_cannot_apply_its_retention_is_whole_and_says_so(store: MemoryStore) -> None:
    further = Unleased("offsite")
    run = Runs({"nightly": store, "offsite": further}).carry_out()
    assert str(run.problem()) == (
        "The copy to offsite is whole, but retention could not be applied there: no lease can be written"
    )
    assert stored(further) == stored(store)


def test_a_failed_set_is_not_copied(store: MemoryStore) -> None:
    further = MemoryStore("offsite")
    bad = an_old_set(store, days=0)
    judge(store, bad, "drill", "failed", f"{datetime.now(UTC):%Y-%m-%d %H:%M}")
    Runs({"nightly": store, "offsite": further}).carry_out()
    assert bad.manifest in store.objects
    assert bad.manifest not in further.objects


def test_several_problems_are_told_together() -> None:
    backup_run = Runs({"nightly": Unleased("nightly"), "offsite": None})
    assert str(backup_run.carry_out().problem()) == (
        "The first store, nightly, has everything; the copy to offsite was not made, and the next backup run makes it up: "
        "The store offsite is not there. The backup is stored, but retention could not be applied: no lease can be "
        "written"
    )


def test_a_first_store_that_is_not_there_fails_before_anything_is_done() -> None:
    backup_run = Runs({"nightly": None})
    with pytest.raises(ConfigurationError, match="The store nightly is not there"):
        backup_run.run()
    assert backup_run.shelf.log == []


def test_an_error_of_the_program_itself_takes_back_what_was_stored_and_is_told(
    store: MemoryStore, backup_run: Runs
) -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    backup_run.shelf.while_backed_up = interrupt
    run: BackupRun = backup_run.run()
    with pytest.raises(KeyboardInterrupt):
        backup_run.carry_out(run)
    assert stored(store) == []
    assert [type(error) for error in backup_run.reported.failures] == [KeyboardInterrupt]
