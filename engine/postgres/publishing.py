"""What a set has beside its dumps: small files, the roles, and last the manifest."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence

from engine.errors import TransientFailure
from engine.postgres.dumping import GLOBALS, SESSION_SETTINGS
from engine.postgres.lock import WORKER
from engine.postgres.night import Night
from engine.postgres.roles import Roles
from engine.sets import manifest
from engine.sets.catalogue import contents
from engine.sets.keys import SetKey
from engine.sets.manifest import FileEntry, Timing
from engine.sets.target import Target
from engine.streams.pack import pack_bytes
from engine.version import VERSION


def store_bytes(target: Target, key: str, data: bytes, kind: str, database: str | None) -> FileEntry:
    """Pack and store something small."""
    packed = pack_bytes(data, target.recipients)
    with target.store.writer(key, expected_bytes=len(packed)) as writer:
        writer.write(packed)
    return FileEntry.model_validate(
        {
            "name": key.rpartition("/")[2],
            "size": len(packed),
            "sha256": hashlib.sha256(packed).hexdigest(),
            "kind": kind,
            "database": database,
        }
    )


def store_globals(
    night: Night, target: Target, prefix: str, seen: Roles | None = None
) -> tuple[FileEntry, FileEntry]:
    """Store the roles as SQL, and the proof of them. `seen` are the roles in the snapshot that was dumped."""
    suffix = ".gz.age" if target.recipients else ".gz"
    roles, text = night.globals.read(night.server, night.tools, WORKER, seen)
    proof = json.dumps({name: role.model_dump() for name, role in roles.items()}, ensure_ascii=False)
    return (
        store_bytes(target, f"{prefix}{GLOBALS}.sql{suffix}", SESSION_SETTINGS + text, "globals", None),
        store_bytes(target, f"{prefix}{GLOBALS}.proof.json{suffix}", proof.encode(), "proof", None),
    )


def write_manifest(
    night: Night,
    target: Target,
    key: SetKey,
    files: Sequence[FileEntry],
    *,
    extensions: dict[str, dict[str, str]],
    collations: dict[str, dict[str, str]],
    timings: dict[str, Timing],
    snapshot_seconds: dict[str, float],
    missing: Sequence[str],
) -> None:
    """Write the manifest: from now on the set exists.

    Raises:
        TransientFailure: not all of its files are there any more.
    """
    _check_all_there(target, key, files)
    body = manifest.Body(
        server=key.server,
        database=key.database,
        set_id=key.set_id,
        created=key.created,
        files=tuple(sorted(files, key=lambda file: file.name)),
        encrypted=bool(target.recipients),
        recipients=target.recipients,
        server_version=night.facts.version,
        client_version=".".join(str(part) for part in night.tools.version),
        product_version=VERSION,
        image=night.tools.host.image,
        system_identifier=night.facts.system_identifier,
        superuser=night.facts.superuser,
        extensions=extensions,
        collations=collations,
        roles=night.facts.roles,
        settings=night.facts.settings,
        timings=timings,
        snapshot_seconds=snapshot_seconds,
        missing=tuple(missing),
        sample_percent=night.server.settings.proof_sample_percent,
    )
    data = manifest.to_json(body, target.digest_key)
    with target.store.writer(key.manifest, expected_bytes=len(data)) as writer:
        writer.write(data)


def _check_all_there(target: Target, key: SetKey, files: Sequence[FileEntry]) -> None:
    """Who lost the lock (its session was ended) may be at work yet while the next holder sweeps."""
    stored = contents(target.store, key)
    if gone := next((file.name for file in files if stored.get(file.name) != file.size), None):
        raise TransientFailure(
            f"{key} in {target.store.address} was not published: {gone} is not there any more as it was written; another "
            "run took this one for dead and swept it. Run the backup again."
        )
