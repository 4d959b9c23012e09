"""What is stored, where an operator looks: one list in the UI for each source, and the dropdowns of the forms.

Each run that changes what is stored, or what is known of it, writes them anew; a list that cannot be written spoils
nothing, and says of when it is.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from uuid import UUID

import httpx
from prefect import get_run_logger, task
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.actions import ArtifactCreate, ArtifactUpdate
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterKey
from prefect.exceptions import PrefectException

from blocks import source_blocks
from engine.errors import PlatformOpsError
from engine.reports.listing import Listing, list_report
from engine.reports.stored_sets import listing_of
from engine.words.report import Report
from engine.words.wording import escaped, readable_time
from tasks.forms import choices, offer_in_forms
from tasks.opening import open_store, source_settings


@task(task_run_name="renew the list of stored sets")
def renew_lists() -> None:
    """Write what every source has stored, and let the forms offer it."""
    try:
        listings = list(_listings())
        now = datetime.now(UTC)
        with get_client(sync_client=True) as client:
            for listing in listings:
                write_list(client, listing, now)
        offer_in_forms(*offered(listings))
    except (httpx.HTTPError, PrefectException, PlatformOpsError) as error:
        get_run_logger().warning("The list of stored sets and the forms are as they were: %s", error)


def _listings() -> Iterator[Listing]:
    for name in _sources():
        repository = open_store(source_settings(name).store)
        yield listing_of(repository, name, datetime.now(UTC))


def _sources() -> list[str]:
    with get_client(sync_client=True) as client:
        found = [client.read_block_documents_by_type(block.get_block_type_slug()) for block in source_blocks()]
    return [document.name for documents in found for document in documents if document.name]


def offered(listings: Sequence[Listing]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """What there are sets of (`cluster`, `db/kohub`), and the newest sets, the newest first."""
    sets = [one.set for listing in listings for one in listing.decisions]
    assets = dict.fromkeys(f"{one.key.kind}/{one.key.name}" if one.key.name else one.key.kind for one in sets)
    return tuple(assets), choices(sets)


def _report(listing: Listing, now: datetime) -> Report:
    report = list_report([listing], now)
    return replace(
        report,
        title=f"Stored sets of {listing.source} in {listing.store}",
        sentence=f"{report.sentence} As of {readable_time(now)}.",
    )


def write_list(client: SyncPrefectClient, listing: Listing, now: datetime) -> UUID:
    """Write the list of a source's sets; the id of its artifact. There is one, that of no run, so that links to it stay."""
    report, key = _report(listing, now), f"stored-sets-{listing.source}"
    text, title = report.as_markdown(), escaped(report.title)
    for known in client.read_artifacts(artifact_filter=ArtifactFilter(key=ArtifactFilterKey(any_=[key]))):
        client.update_artifact(known.id, ArtifactUpdate(data=text, description=title))
        return known.id
    return client.create_artifact(ArtifactCreate(key=key, type="markdown", description=title, data=text)).id
