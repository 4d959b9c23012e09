"""Migrations as files, and which of them lead from one version to another. Pure but for reading the folder."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from engine.errors import ConfigurationError

_NAME = re.compile(r"(?P<version>\d{1,18})_(?P<name>[A-Za-z0-9._-]+)\.(?P<way>up|down)\.sql")


@dataclass(frozen=True)
class Migration:
    """`down` is None where nobody wrote a way back."""

    version: int
    name: str
    up: Path
    down: Path | None

    def __str__(self) -> str:
        return f"{self.up.name.removesuffix('.up.sql')}"


@dataclass(frozen=True)
class Change:
    """One file to run, and the version the database has after it; None: none at all."""

    migration: Migration
    up: bool
    version: int | None

    @property
    def path(self) -> Path:
        found = self.migration.up if self.up else self.migration.down
        assert found is not None  # noqa: S101 - `changes` leaves none without one
        return found

    def read(self) -> bytes:
        """Its statements.

        Raises:
            ConfigurationError: the file is gone, or may not be read.
        """
        try:
            return self.path.read_bytes()
        except OSError as error:
            raise ConfigurationError(f"The migration {self.path} cannot be read: {error.strerror}.") from None

    def __str__(self) -> str:
        return f"{'up' if self.up else 'down'} {self.migration}"


def fingerprint(statements: bytes) -> str:
    """What approval of a file is bound to."""
    return hashlib.sha256(statements).hexdigest()


def read_folder(folder: Path) -> tuple[Migration, ...]:
    """All migrations, lowest version first.

    Raises:
        ConfigurationError: the folder is not there, a file's name is none, a version is there twice or has no way up.
    """
    try:
        paths = sorted(folder.glob("*.sql"))
    except OSError as error:
        raise ConfigurationError(f"The migrations in {folder} cannot be read: {error.strerror}.") from None
    if not folder.is_dir():
        raise ConfigurationError(
            f"There is no folder {folder} with migrations; correct `directory` of [clusters.NAME.migrations]."
        )
    ways: dict[tuple[int, str], Path] = {}
    names: dict[int, str] = {}
    for path in paths:
        match = _NAME.fullmatch(path.name)
        if match is None:
            raise ConfigurationError(f"{path} is no migration's name; call it NNN_name.up.sql or NNN_name.down.sql.")
        version, way = int(match["version"]), match["way"]
        if (version, way) in ways:
            raise ConfigurationError(
                f"{path} has the version {version} of {ways[version, way].name} too; give it another."
            )
        ways[version, way] = path
        names[version] = match["name"]
    if lacking := [version for version in names if (version, "up") not in ways]:
        raise ConfigurationError(f"The migration {lacking[0]} in {folder} has no .up.sql; add it.")
    return tuple(Migration(v, names[v], ways[v, "up"], ways.get((v, "down"))) for v in sorted(names))


def changes(migrations: Sequence[Migration], current: int | None, target: int | None) -> list[Change]:
    """What leads from `current` to `target` (None: before the first), in the order it is run.

    Raises:
        ConfigurationError: there is no such version, or no way back from one.
    """
    known = [each.version for each in migrations]
    for version, what in ((current, "the database has"), (target, "was asked for")):
        if version is not None and version not in known:
            raise ConfigurationError(
                f"The version {version} {what} is none of the migrations here (they end with {known[-1] if known else 'none'}); "
                "bring the files that belong to it."
            )
    before, wanted = -1 if current is None else current, -1 if target is None else target
    if wanted >= before:
        return [Change(each, True, each.version) for each in migrations if before < each.version <= wanted]
    found = [each for each in reversed(migrations) if wanted < each.version <= before]
    if stuck := [each for each in found if each.down is None]:
        raise ConfigurationError(f"The migration {stuck[0]} has no .down.sql: there is no way back from it.")
    below = {each.version: known[index - 1] if index else None for index, each in enumerate(migrations)}
    return [Change(each, False, below[each.version]) for each in found]
