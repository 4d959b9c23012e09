"""Sets that are being restored stay, whatever a pruning on another host thinks of them."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

import pytest

from engine.errors import LockedByAnother
from engine.repository.lease import drilling, lease, leased_sets
from engine.repository.prune import prune
from engine.repository.prune_plan import plan_prune
from engine.repository.repository import Repository
from engine.repository.restoring import LEASES, restoring
from engine.stores.folder import FolderStore
from tests.engine.repository.made import NOW, a_key, store_set
from tests.engine.repository.test_prune import POLICY, a_week


@pytest.fixture
def folder(tmp_path: Path) -> FolderStore:
    return FolderStore("local", tmp_path / "store")


def test_a_pruning_leaves_the_sets_of_a_restore_alone(folder: FolderStore) -> None:
    keys = a_week(folder, "app")
    plan = plan_prune(Repository(folder, retention=POLICY), "platform", NOW)
    with restoring(folder, [keys[5], keys[6]], "restore to platform") as problem:
        assert problem is None
        report = prune(Repository(folder), plan, "nightly-backup")
    assert set(report.deleted) == {keys[3], keys[4], keys[7]}
    assert set(report.spared) == {keys[5], keys[6]}
    assert leased_sets(folder, "platform") == frozenset()


def test_several_restores_and_a_drill_at_once_each_with_its_sets(folder: FolderStore) -> None:
    keys = a_week(folder, "app")
    with ExitStack() as stack:
        stack.enter_context(drilling(folder, keys[0]))
        for key in keys[:8]:
            stack.enter_context(restoring(folder, [key]))
        assert leased_sets(folder, "platform") == set(keys[:8])
        with pytest.raises(LockedByAnother, match=f"Another {LEASES[-1]} of platform"):
            stack.enter_context(restoring(folder, [keys[0]]))
    with restoring(folder, [keys[0]]):
        assert leased_sets(folder, "platform") == {keys[0]}


def test_a_restore_waits_for_a_pruning_that_may_not_know_of_it(folder: FolderStore) -> None:
    key = store_set(folder, a_key("2026-02-07"))
    with lease(folder, "platform", "prune"):
        with (
            pytest.raises(LockedByAnother, match="Another prune"),
            restoring(folder, [key], wait_seconds=0.3),
        ):
            pass
        assert leased_sets(folder, "platform") == frozenset()


def test_where_no_lease_can_be_written_a_restore_goes_on_and_says_so(folder: FolderStore, tmp_path: Path) -> None:
    key = store_set(folder, a_key("2026-02-07"))
    (tmp_path / "store" / "platform" / "leases").write_text("a file is where the folder should be")
    with restoring(folder, [key]) as problem:
        assert "leases" in str(problem)
