"""What the demo shows at its end: what was stored, what the drill found, and what to try next."""

from __future__ import annotations

from prefect.client.schemas.objects import FlowRun

from demo.flow_runs import seconds
from demo.layout import PROJECT, SERVER, STORE, Layout
from demo.prefect_server import address
from engine.errors import OperationFailed
from engine.progress import counted, readable_bytes, readable_seconds
from engine.reports.drill import drill_report
from engine.repository.catalogue import catalogue
from engine.repository.findings import DrillResult
from engine.repository.repository import Repository, open_repository
from engine.repository.stored import Catalogue, StoredSet
from engine.repository.verdicts import newest, read_verdict
from engine.sources.registry import load_settings
from engine.words.report import Report, Table


def summary(layout: Layout, backup: FlowRun, drill: FlowRun, total_seconds: float) -> str:
    """The closing text.

    Raises:
        OperationFailed: the store holds no set or no passed drill, whatever the runs' states say.
    """
    settings = load_settings(layout.config)
    repository = open_repository(STORE, settings.stores[STORE])
    stored = catalogue(repository, SERVER, sizes=True)
    parts = [_backup(stored, seconds(backup)), _drill(repository, stored), _next(layout)]
    took = f"The flow run restore-drill took {readable_seconds(seconds(drill))}."
    return "\n".join(["", *(part.as_text() for part in parts), f"{took} All is good, {total_seconds:.0f} s in."])


def _backup(stored: Catalogue, took: float) -> Report:
    last = [sets[0] for sets in stored.assets.values()]
    if not last:
        raise OperationFailed(f"{stored.address} holds no set after the backup; look at the run in the UI.")
    last.sort(key=lambda one: one.size or 0, reverse=True)
    total = readable_bytes(sum(one.size or 0 for one in last))
    return Report(
        title="Stored by nightly-backup",
        sentence=f"{counted(len(last), 'set')} of {total}, encrypted, in {readable_seconds(took)}.",
        tables=(Table("", ("of", "size", "state", "set"), tuple(map(_row, last)), right=("size",)),),
    )


def _row(one: StoredSet) -> tuple[str, str, str, str]:
    return one.key.asset.label, readable_bytes(one.size or 0), one.state, one.key.set_id


def _drill(repository: Repository, stored: Catalogue) -> Report:
    key = newest(stored.verdicts, "drill")
    if key is None:
        raise OperationFailed(f"{stored.address} holds no verdict after the drill; look at the run in the UI.")
    document = read_verdict(repository, key)
    result = DrillResult.of_verdict(document)
    if key.result != result.verdict or result.result != "passed":
        raise OperationFailed(f"The drill of {key.set} is {key.result}: {result.sentence}; see {key}.")
    return drill_report(result)


def _next(layout: Layout) -> Report:
    config = layout.config.relative_to(PROJECT)
    control = f".venv/bin/platformctl --config {config}"
    return Report(
        title="What to try next",
        sentence=f"Prefect's UI is at {address(layout)}: look at the runs and their artifacts, run a deployment.",
        facts=(
            (f"{control} list", "what is stored, and why each set is kept"),
            (f"{control} drill newest --database kohub", "the same drill without Prefect"),
            ("make demo", "another backup, another drill"),
            ("make stop", "end what runs, keep the data"),
            ("make clean", "end it and remove it"),
        ),
    )
