"""What the demo shows at its end: what was stored, what the drill found, and what to try next."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from prefect.client.schemas.objects import FlowRun

from demo.flow_runs import seconds
from demo.layout import PROJECT, SERVER, STORE, Layout
from demo.prefect_server import address
from engine.config.file import load
from engine.errors import OperationFailed
from engine.sets.catalogue import Catalogue, StoredSet, catalogue
from engine.sets.verdicts import newest, read_verdict
from engine.stores.base import Store
from engine.stores.opening import open_store

_MIB = 1024 * 1024


def summary(layout: Layout, backup: FlowRun, drill: FlowRun, total_seconds: float) -> str:
    """The closing text.

    Raises:
        OperationFailed: the store holds no set or no passed drill, whatever the runs' states say.
    """
    settings = load(layout.config)
    store = open_store(STORE, settings.stores[STORE])
    stored = catalogue(store, SERVER, sizes=True)
    lines = [
        "",
        *_stored_lines(stored),
        f"  nightly-backup took {seconds(backup):.1f} s, restore-drill {seconds(drill):.1f} s.",
        "",
        *_verdict_lines(store, stored),
        "",
        *_next_lines(layout),
        "",
        f"All good after {total_seconds:.0f} s.",
    ]
    return "\n".join(lines)


def _stored_lines(stored: Catalogue) -> Iterator[str]:
    last = [sets[0] for sets in stored.scopes.values()]
    if not last:
        raise OperationFailed(f"{stored.address} holds no set after the backup; look at the run in the UI.")
    yield f"Stored in {stored.address}, encrypted: the newest of {len(stored.sets)} sets"
    width = max(len(_scope(one)) for one in last)
    for one in sorted(last, key=lambda one: one.size or 0, reverse=True):
        size = f"{(one.size or 0) / _MIB:8.1f} MiB"
        yield f"  {_scope(one):<{width}} {size}  {one.state:<9} {one.key.set_id}"


def _scope(one: StoredSet) -> str:
    return "whole server" if one.key.database is None else f"database {one.key.database}"


def _verdict_lines(store: Store, stored: Catalogue) -> Iterator[str]:
    key = newest(stored.verdicts, "drill")
    if key is None:
        raise OperationFailed(
            f"{stored.address} holds no verdict after the drill; look at the run in the UI."
        )
    document = read_verdict(store, key)
    yield f"Restore drill of {key.set_id}: {key.result}"
    yield from (f"  {line}" for line in _evidence(document))
    yield f"  kept as {key}"
    if key.result != "passed":
        raise OperationFailed(f"The drill of {key.set_id} is {key.result}; see {store.address}/{key}.")


def _evidence(document: dict[str, Any]) -> Iterator[str]:
    for key, value in document.items():
        if isinstance(value, (str, int, float)) and key not in ("schema", "server", "set_id", "result"):
            yield f"{key.replace('_', ' ')}: {value}"


def _next_lines(layout: Layout) -> Iterator[str]:
    config = layout.config.relative_to(PROJECT)
    yield f"Prefect UI         {address(layout)}"
    yield f"  deployments      {address(layout)}/deployments  (run one: Run, Custom run)"
    yield "Try next"
    yield f"  .venv/bin/platformctl --config {config} list"
    yield f"  .venv/bin/platformctl --config {config} drill {SERVER}"
    yield "  make demo        again: another night, another drill"
    yield "  make stop        end what runs, keep the data;  make clean  removes it"
