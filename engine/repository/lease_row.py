"""The row of objects a lease is made of; see `engine.repository.lease` for the rules they keep."""

from __future__ import annotations

import re
import secrets
import time
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from engine.errors import OperationFailed, PlatformOpsError, TransientFailure
from engine.hosts.identity import has_ended, is_of_this_boot, this_process
from engine.repository.keys import source_prefix
from engine.stores.base import Store, StoredObject, read_small

HELD: set[str] = set()
"""Tokens of the leases this process holds. Another one that names this process is left from a try
whose answer was lost."""

MARGIN_SECONDS = 2.0  # S3 tells times in whole seconds
UNREADABLE_SECONDS = 180.0
_OBJECT = re.compile(r"([a-z]{1,40})\.([0-9]{1,18})\.json")
_LARGEST = 2**20
_TRIES = 20
_FORGOTTEN = timedelta(hours=1)


def clock() -> float:
    """Seconds that also pass while the machine sleeps."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class Holder(BaseModel):
    """What an object of a lease says. `seconds`: how long it lives without being renewed. `written`: when it was
    made, by the holder's `clock`."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    format: Literal[1] = 1
    state: Literal["held", "released"] = "held"
    token: str
    label: str
    host: str
    process: str
    since: AwareDatetime
    seconds: float = Field(gt=0, le=86400)
    sets: tuple[str, ...] = ()
    written: float | None = None

    @property
    def age(self) -> float | None:
        """Seconds since it was made, where its host's clock is ours: nobody can set that one."""
        return clock() - self.written if self.written is not None and is_of_this_boot(self.process) else None

    @property
    def pid(self) -> str:
        return self.process.split("-")[1] if "-" in self.process else "?"

    @property
    def has_ended(self) -> bool:
        """It is certain that nobody holds it any more."""
        if self.state == "held" and self.process == this_process():
            return self.token not in HELD
        return self.state == "released" or has_ended(self.process)


@dataclass(frozen=True, slots=True)
class LeaseState:
    """How a lease stands: its last number (0: there is none), who holds it, and for how many seconds
    it was not renewed."""

    number: int
    holder: Holder | None = None
    age: float = 0.0


@dataclass(frozen=True, slots=True)
class Row:
    """One lease of a source in a store."""

    store: Store
    source: str
    name: str

    @property
    def prefix(self) -> str:
        return f"{source_prefix(self.source)}leases/"

    def key(self, number: int) -> str:
        return f"{self.prefix}{self.name}.{number:09d}.json"

    def state(self) -> LeaseState:
        """Who holds it now.

        Raises:
            PlatformOpsError: the store cannot be read or written (telling its time needs an object).
        """
        problem: PlatformOpsError | None = None
        for _ in range(_TRIES):
            number = max(self._numbers(self._listed()), default=0)
            if not number:
                return LeaseState(0)
            try:
                holder = self._read(number)
            except TransientFailure:
                raise
            except OperationFailed as error:  # renewed and cleared away since it was listed
                problem = error
                continue
            if holder.has_ended:
                return LeaseState(number)
            age = self._age(number)
            if age is not None:
                age = age if holder.age is None else holder.age
                live = abs(age) <= holder.seconds + MARGIN_SECONDS
                return LeaseState(number, holder if live else None, age)
        raise problem or TransientFailure(
            f"The lease of {self.name} of {self.source} in {self.store.address} keeps changing; start again."
        )

    def append(self, number: int, holder: Holder) -> bool:
        """Make `number` the last object; whether it is. This is the atomic step.

        Raises:
            PlatformOpsError: the store cannot be read or written; it may have been done nevertheless.
        """
        text = holder.model_copy(update={"written": clock()}).model_dump_json(indent=1)
        if not self.store.create(self.key(number), text.encode() + b"\n"):
            return False
        listed = self._listed()
        last = max(self._numbers(listed))
        # The one before stays for who lists a folder while this happens, and would see neither.
        before = [self.key(old) for old in self._numbers(listed) if old < last - 1 or old == number < last]
        self._clear([*before, *_forgotten(listed)])
        return last == number

    def is_ours(self, number: int, token: str) -> bool:
        """Whether the last object is `number` and says that the lease with this token is held."""
        if max(self._numbers(self._listed()), default=0) != number:
            return False
        found = self._read(number)
        return (found.state, found.token) == ("held", token)

    def _listed(self) -> list[StoredObject]:
        return list(self.store.list(self.prefix))

    def _numbers(self, listed: list[StoredObject]) -> list[int]:
        parsed = (_parsed(one.key) for one in listed)
        return [found[1] for found in parsed if found and found[0] == self.name]

    def _read(self, number: int) -> Holder:
        data = read_small(self.store, self.key(number), _LARGEST)
        try:
            return Holder.model_validate_json(data)
        except ValidationError:  # damaged, or of a newer version: somebody's until its time is over
            since = datetime.fromtimestamp(0).astimezone()
            return Holder(token="", label="unreadable", host="?", process="", since=since, seconds=UNREADABLE_SECONDS)

    def _age(self, number: int) -> float | None:
        """Seconds since the object was written, by the store's clock; None when it is not the last any more."""
        clock = f"{self.prefix}clock-{secrets.token_hex(8)}.json"
        self.store.create(clock, b"{}\n")
        try:
            listed = self._listed()
        finally:
            self._clear([clock])
        times = {one.key: one.modified for one in listed}
        now, written = times.get(clock), times.get(self.key(number))
        if now is None or written is None or max(self._numbers(listed)) > number:
            return None
        return (now - written).total_seconds()

    def _clear(self, keys: list[str]) -> None:
        with suppress(PlatformOpsError):  # no right to delete: a few small objects more
            self.store.delete(keys)


def _forgotten(listed: list[StoredObject]) -> list[str]:
    """Clocks that a killed process left."""
    now = max(one.modified for one in listed)
    clocks = (one for one in listed if one.key.rpartition("/")[2].startswith("clock-"))
    return [one.key for one in clocks if now - one.modified > _FORGOTTEN]


def names(store: Store, source: str) -> list[str]:
    """The leases there are of a source in a store, held or not."""
    found = (_parsed(key) for key in store.keys(f"{source_prefix(source)}leases/"))
    return sorted({one[0] for one in found if one})


def _parsed(key: str) -> tuple[str, int] | None:
    match = _OBJECT.fullmatch(key.rpartition("/")[2])
    return (match[1], int(match[2])) if match else None
