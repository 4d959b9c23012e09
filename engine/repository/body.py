"""What a manifest says: the head that every set has, and facts that only its kind understands."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, field_validator

from engine.repository.keys import MANIFEST, SetKey, is_file_name


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class FileEntry(_Frozen):
    """One stored file: `size` in bytes and `sha256` (hex) are of the stored bytes.

    `role` is what its kind uses it for. `of` names what it holds, where a set holds several things of one role; '' is
    all of them.
    """

    name: str
    size: int = Field(ge=0)
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    role: str = Field(pattern=r"^[a-z][a-z-]{0,30}$")
    of: str = ""

    @field_validator("name")
    @classmethod
    def _plain(cls, value: str) -> str:
        if not is_file_name(value) or value == MANIFEST:
            raise ValueError("a file's name is one plain path segment")
        return value


class Timing(_Frozen):
    """When a part of the work began and how long it took (seconds)."""

    started: datetime
    seconds: float = Field(ge=0)


class Body(_Frozen):
    """What the digest covers: the head that every set has, and `facts`, which only its kind understands.

    `timings` are by what was read, `missing` is what the set does not carry, in words; `needs` are the keys of other
    sets of the source without which it does not restore. `sample_percent` is that of the
    proofs: less than 100 cannot become proven.
    """

    source: str
    kind: str
    name: str
    set_id: str
    created: datetime
    files: tuple[FileEntry, ...]
    encrypted: bool
    recipients: tuple[str, ...] = ()
    product_version: str
    timings: dict[str, Timing] = {}
    missing: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()
    sample_percent: int = Field(default=100, ge=1, le=100)
    facts: dict[str, Any] = {}

    @field_validator("files")
    @classmethod
    def _distinct(cls, value: tuple[FileEntry, ...]) -> tuple[FileEntry, ...]:
        if len({file.name for file in value}) != len(value):
            raise ValueError("a file is named twice")
        return value

    @property
    def key(self) -> SetKey:
        """Where this set says it belongs."""
        return SetKey(self.source, self.kind, self.name, self.set_id)

    @property
    def size(self) -> int:
        """Stored bytes of all its files."""
        return sum(file.size for file in self.files)

    def file(self, role: str, of: str = "") -> FileEntry | None:
        """Its file of that role; None when there is none."""
        return next((file for file in self.files if (file.role, file.of) == (role, of)), None)

    def of_roles(self, *roles: str) -> tuple[FileEntry, ...]:
        """Its files of these roles, in the order of their names."""
        return tuple(file for file in self.files if file.role in roles)
