"""Further stores and leases by the real command: exit codes 5 and 4, and the next backup run that makes it up."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.repository.catalogue import catalogue
from engine.repository.keys import SetKey
from engine.repository.lease import lease
from engine.repository.repository import Repository
from engine.sources.postgres.scratch.instance import Instance
from engine.stores.folder import FolderStore
from tests.engine.cli.conftest import DATABASE
from tests.engine.cli.site import Site, new_site


@pytest.fixture
def away(postgres_server: Instance, databases: str, tmp_path: Path) -> Site:
    """A site whose second store, `offsite`, is on a disk that is not mounted yet."""
    offsite = f'[stores.offsite]\nkind = "folder"\npath = "{tmp_path / "disk" / "offsite"}"'
    return new_site(tmp_path, postgres_server, 'copies = ["offsite"]', offsite)


def sets(folder: Path) -> set[SetKey]:
    return {one.key for one in catalogue(Repository(FolderStore("any", folder))).sets}


def test_a_store_that_missed_a_backup_run_is_partial_and_the_next_backup_run_makes_it_up(away: Site) -> None:
    offsite = away.folder / "disk" / "offsite"
    answer = away.run("backup", "--database", DATABASE, "--json")
    assert answer.code == 5
    assert answer.document["error"]["kind"] == "PartialSuccess"
    assert answer.problem.startswith(
        "platformctl: The first store, nightly, has everything; the copy to offsite was not made, and the next "
        "backup run makes it up: The folder of store 'offsite'"
    )
    assert answer.document["result"]["copies"][0]["problem"]
    assert len(sets(away.store)) == 1

    offsite.parent.mkdir()
    answer = away.run("backup", "--database", DATABASE)
    assert answer.code == 0, answer.stderr
    assert "Further stores" in answer.stdout
    assert len(sets(offsite)) == 2
    assert sets(offsite) == sets(away.store)
    verified = away.run("verify", "--store", "offsite", "--json")
    assert verified.code == 0, verified.stderr


def test_a_pruning_or_drill_under_way_is_exit_code_4(copied: Site) -> None:
    store = FolderStore("nightly", copied.store)
    before = sets(copied.store)
    with lease(store, "platform", "prune", "nightly-backup calm-otter"):
        answer = copied.run("prune", "--delete")
    assert answer.code == 4
    assert "Another prune of platform in" in answer.problem
    assert "'nightly-backup calm-otter'" in answer.problem
    with lease(store, "platform", "drill", "restore-drill brave-lynx"):
        answer = copied.run("drill", "--database", DATABASE)
    assert answer.code == 4
    assert "Another drill of platform in" in answer.problem
    assert sets(copied.store) == before
