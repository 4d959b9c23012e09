"""A store says that a key is not there; of a set's own file that is damage, of anything else it is not."""

from __future__ import annotations

import pytest

from engine.errors import DamagedSet, NotFound
from engine.repository.keys import MANIFEST
from engine.repository.manifest import read_manifest
from engine.repository.reading import stored_pieces
from engine.repository.repository import Repository
from engine.repository.verdicts import read_verdict
from engine.repository.verify import verify_set
from tests.engine.repository.made import MemoryStore, a_key, a_verdict, store_set

KEY = a_key("2026-02-07 17:00", "app")
DUMP = KEY.prefix + "app.dump.gz"


@pytest.fixture
def store() -> MemoryStore:
    made = MemoryStore()
    store_set(made, KEY)
    return made


def test_a_file_that_is_not_there_is_held_against_its_set(store: MemoryStore) -> None:
    body = read_manifest(Repository(store), KEY)
    del store.objects[DUMP]
    with pytest.raises(DamagedSet) as raised:
        list(stored_pieces(Repository(store), KEY, body.files[0]))
    assert str(raised.value) == f"{DUMP} is not in memory; `list` shows what is stored."


def test_a_manifest_that_is_not_there_says_what_to_do(store: MemoryStore) -> None:
    del store.objects[KEY.manifest]
    with pytest.raises(DamagedSet) as raised:
        read_manifest(Repository(store), KEY)
    assert str(raised.value) == f"{KEY.manifest} is not in memory; `list` shows what is stored."


@pytest.mark.parametrize("name", ["app.dump.gz", MANIFEST])
def test_what_is_listed_and_cannot_be_found_fails_the_verification(store: MemoryStore, name: str) -> None:
    store.failing[KEY.prefix + name] = NotFound(f"{name} is not in memory.")
    assert verify_set(Repository(store), KEY).result == "failed"


def test_a_verdict_that_is_not_there_is_no_damage(store: MemoryStore) -> None:
    with pytest.raises(NotFound):
        read_verdict(Repository(store), a_verdict(KEY, "2026-02-07 18:00", "verify", "passed"))
