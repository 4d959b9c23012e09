"""A thousand random corruptions of a stored set, each found by verify; and twenty by a drill."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from engine.repository.keys import MANIFEST, SetKey
from engine.repository.repository import Repository
from engine.repository.verify import verify_set
from engine.sources.postgres.scratch.instance import Instance
from tests.engine.sources.postgres.backups import Backup, back_up, drill, server_of, store_in
from tests.faults.conftest import DATABASE

SEED = 20261123
Damage = Callable[[random.Random, Path], None]


@pytest.fixture(scope="module")
def backup(fault_server: Instance, tmp_path_factory: pytest.TempPathFactory) -> Backup:
    """A cluster set and a database set of one small database."""
    store = store_in(tmp_path_factory.mktemp("corruption"))
    return back_up(server_of(fault_server, exclude=("postgres", "template1")), store, [DATABASE])


def flip_a_bit(chance: random.Random, path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
    path.write_bytes(data)


def truncate(chance: random.Random, path: Path) -> None:
    path.write_bytes(path.read_bytes()[: chance.randrange(path.stat().st_size)])


def append(chance: random.Random, path: Path) -> None:
    path.write_bytes(path.read_bytes() + chance.randbytes(chance.randrange(1, 5000)))


def zero_a_page(chance: random.Random, path: Path) -> None:
    """What a disk gives back for a block it lost; small files lose all of it."""
    data = bytearray(path.read_bytes())
    at = chance.randrange(0, len(data), 512)
    data[at : at + 512] = bytes(len(data[at : at + 512]))
    path.write_bytes(data)


def delete(chance: random.Random, path: Path) -> None:
    del chance
    path.unlink()


def swap(chance: random.Random, path: Path) -> None:
    others = [other for other in sorted(path.parent.iterdir()) if other.read_bytes() != path.read_bytes()]
    other = chance.choice(others)
    one, two = path.read_bytes(), other.read_bytes()
    path.write_bytes(two)
    other.write_bytes(one)


def add_a_file(chance: random.Random, path: Path) -> None:
    (path.parent / f"{chance.randrange(1000):03d}-more.sql.gz").write_bytes(chance.randbytes(100))


def edit_the_manifest(chance: random.Random, path: Path) -> None:
    """Somebody changes a fact in it by hand, and leaves the digest."""
    manifest = path.parent / MANIFEST
    document = json.loads(manifest.read_bytes())
    entry = chance.choice(document["body"]["files"])
    entry["size"] += chance.randrange(1, 100)
    manifest.write_text(json.dumps(document))


DAMAGES: tuple[Damage, ...] = (
    flip_a_bit,
    truncate,
    append,
    zero_a_page,
    delete,
    swap,
    add_a_file,
    edit_the_manifest,
)


class Damaged:
    """A stored set that is damaged again and again, and put back each time."""

    def __init__(self, repository: Repository, key: SetKey) -> None:
        self.repository, self.key = repository, key
        self.folder = Path(repository.store.address) / str(key)
        self._whole = {path: path.read_bytes() for path in self.folder.iterdir()}

    def by(self, damage: Damage, chance: random.Random) -> Iterator[str]:
        """Damage a file of it (never the manifest, whose loss makes it no set); what was done."""
        files = sorted(path for path in self._whole if path.name != MANIFEST)
        victim = chance.choice(files)
        damage(chance, victim)
        if {path: path.read_bytes() for path in self.folder.iterdir()} == self._whole:
            return  # the page was zero before, or the bytes cut off were none
        yield f"{damage.__name__} of {victim.name}"
        for path in self.folder.iterdir():
            path.unlink()
        for path, data in self._whole.items():
            path.write_bytes(data)


def test_verify_finds_a_thousand(backup: Backup) -> None:
    print(f"seed {SEED}")  # noqa: T201 - to repeat a failure
    chance, found = random.Random(SEED), 0  # noqa: S311
    sets = [Damaged(backup.repository, key) for key in (backup.cluster_key, backup.key(DATABASE))]
    while found < 1000:
        one, damage = chance.choice(sets), chance.choice(DAMAGES)
        for done in one.by(damage, chance):
            report = verify_set(one.repository, one.key)
            assert report.result == "failed", f"{done} was not found"
            assert "use another" in report.sentence or "restore another set" in report.sentence
            found += 1
    assert [verify_set(one.repository, one.key).result for one in sets] == ["passed", "passed"]


def test_a_drill_finds_twenty(backup: Backup) -> None:
    print(f"seed {SEED}")  # noqa: T201 - to repeat a failure
    chance = random.Random(SEED)  # noqa: S311
    one = Damaged(backup.repository, backup.key(DATABASE))
    for number in range(20):
        for done in one.by(DAMAGES[number % len(DAMAGES)], chance):
            report = drill(one.repository, one.key)
            assert report.result == "failed", f"{done}: {report.sentence}"
    assert drill(one.repository, one.key).result == "passed"
