"""What would change of an object: every value by its place, secrets as hashes. Pure."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterator
from functools import cache
from typing import Any

from engine.kubernetes.objects import REVISION, Object, name_of
from engine.settings_model import Frozen

_NAMES = r"PASSW|PASSPHRASE|PWD|SECRET|TOKEN|PRIVATE|CREDENTIAL|(API|ACCESS)[-_]?KEY|DSN|CONNECTION[-_]?STRING"
_SECRET_NAME = re.compile(_NAMES, re.IGNORECASE)
_SECRET_WITHIN = re.compile(rf"""://[^/\s@]*:[^/\s@]+@|({_NAMES})[\w-]*["']?\s*(=|:(?=[\s"']))\s*\S""", re.IGNORECASE)
"""A password in a URL (`redis://:x@host`), an option (`--password=x`) or a line of a file (`password: x`)."""
_OF_THE_SERVER = ("managedFields", "resourceVersion", "uid", "generation", "creationTimestamp", "selfLink")
_OF_OTHERS = (REVISION, "kubectl.kubernetes.io/last-applied-configuration")
_NAMED = ("data", "metadata.annotations", "spec.template.metadata.annotations")
"""Where keys are people's own names."""
_LONGEST = 200


class Difference(Frozen):
    """One value that differs; '' stands for none."""

    where: str
    old: str
    new: str

    def __str__(self) -> str:
        return f"{self.where}: {self.old or '(none)'} -> {self.new or '(none)'}"


def differences(live: Object | None, wanted: Object) -> tuple[Difference, ...]:
    """From what is to what the server would make of it, sorted by place."""
    before, after = values(live) if live else {}, values(wanted)
    return tuple(
        Difference(where=where, old=before.get(where, ""), new=after.get(where, ""))
        for where in sorted(before.keys() | after.keys())
        if before.get(where) != after.get(where)
    )


def values(found: Object) -> dict[str, str]:
    """An object as places and texts, without what the server keeps for itself; no secret is in it."""
    kept = {key: value for key, value in found.items() if key not in ("status", "apiVersion", "kind")}
    metadata = {key: value for key, value in kept.get("metadata", {}).items() if key not in _OF_THE_SERVER}
    annotations = {k: v for k, v in (metadata.get("annotations") or {}).items() if k not in _OF_OTHERS}
    kept["metadata"] = {**metadata, "annotations": annotations}
    if found.get("kind") == "Secret":
        salt = f"{metadata.get('namespace')}/{name_of(found)}"
        kept["data"] = {key: hashed(base64.b64decode(value), salt) for key, value in (kept.get("data") or {}).items()}
        given = kept.pop("stringData", None) or {}
        kept["data"] |= {key: hashed(str(value).encode(), salt) for key, value in given.items()}
    binary = kept.get("binaryData") or {}
    kept |= {"binaryData": {key: hashed(str(value).encode(), _name_salt(found)) for key, value in binary.items()}}
    return {where: _short(text) for where, text in _flat(kept, "", _name_salt(found))}


def _short(text: str) -> str:
    """What is longer keeps a mark of all of it: a difference at its end is one."""
    if len(text) <= _LONGEST:
        return text
    return f"{text[:_LONGEST]}... ({len(text)} letters, {hashlib.sha256(text.encode()).hexdigest()[:8]})"


def _name_salt(found: Object) -> str:
    return f"{found['metadata'].get('namespace')}/{found.get('kind')}/{name_of(found)}"


class Hashed(str):
    """Shown instead of a value."""

    __slots__ = ()


@cache
def hashed(secret: bytes, salt: str) -> Hashed:
    """Enough to see whether it is another; slow to guess from (scrypt, RFC 7914)."""
    made = hashlib.scrypt(secret, salt=salt.encode(), n=2**13, r=8, p=1, dklen=6)
    return Hashed(f"hash {made.hex()}")


def _flat(value: Any, where: str, salt: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, dict):
        if _is_secret_variable(value):
            value = {**value, "value": hashed(str(value["value"]).encode(), salt)}
        for key, each in value.items():
            hidden = isinstance(each, str) and where in _NAMED and _SECRET_NAME.search(key)
            yield from _flat(_hidden(each, salt) if hidden else each, _joined(where, key), salt)
    elif isinstance(value, list):
        names = [each.get("name") if isinstance(each, dict) else None for each in value]
        for index, each in enumerate(value):
            label = names[index] if isinstance(names[index], str) and names.count(names[index]) == 1 else index
            yield from _flat(each, f"{where}[{label}]", salt)
    elif isinstance(value, str):
        yield where, str(_hidden(value, salt) if _SECRET_WITHIN.search(value) else value)
    elif value is not None:
        yield where, str(value).lower() if isinstance(value, bool) else str(value)


def _hidden(value: str, salt: str) -> Hashed:
    return value if isinstance(value, Hashed) else hashed(value.encode(), salt)


def _is_secret_variable(value: dict[str, Any]) -> bool:
    """An entry of a container's `env` with a value that its name calls a secret."""
    named = value.get("name")
    return isinstance(named, str) and isinstance(value.get("value"), str) and bool(_SECRET_NAME.search(named))


def _joined(where: str, key: str) -> str:
    return f"{where}.{key}" if where else key
