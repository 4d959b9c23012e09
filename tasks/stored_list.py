"""What is stored, where an operator looks: a line for each thing that is kept, of all kinds, in one table for each
platform; one list for each source; the dropdowns of the forms.

Each run that changes what is stored, or what is known of it, writes them anew; a list that cannot be written spoils
nothing, and says of when it is.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from uuid import UUID

import httpx
from prefect import get_run_logger, task
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.actions import ArtifactCreate, ArtifactUpdate
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterKey
from prefect.exceptions import PrefectException

from blocks import Platform, source_blocks
from engine.errors import PlatformOpsError
from engine.reports.listing import Listing, list_report
from engine.reports.overview import overview_report
from engine.reports.stored_sets import listing_of
from engine.words.report import Report
from engine.words.wording import escaped, readable_time
from tasks.forms import choices, offer_in_forms
from tasks.opening import documents, open_store, source_settings


@task(task_run_name="renew the list of stored sets")
def renew_lists() -> None:
    """Write what every source has stored, and let the forms offer it."""
    try:
        sources = _sources()
        listings, now = list(_listings(sources)), datetime.now(UTC)
        whole = len(listings) == len(sources)  # else what it is of all would lack some
        with get_client(sync_client=True) as client:
            if whole:
                _write(client, "all-that-is-kept", overview_of(listings, _platforms(client), now))
            for listing in listings:
                write_list(client, listing, now)
        if whole:
            offer_in_forms(*offered(listings))
    except (httpx.HTTPError, PrefectException, PlatformOpsError) as error:
        get_run_logger().warning("The list of stored sets and the forms are as they were: %s", error)


def _listings(sources: Sequence[str]) -> Iterator[Listing]:
    """Of the sources whose store answers: one that is away keeps no other's list from being written."""
    for name in sources:
        try:
            repository = open_store(source_settings(name).store)
            yield listing_of(repository, name, datetime.now(UTC))
        except PlatformOpsError as error:
            get_run_logger().warning(
                "The list of %s, all that is kept, and the forms are as they were: %s", name, error
            )


def overview_of(listings: Sequence[Listing], platforms: Mapping[str, str], now: datetime) -> Report:
    """All that is kept, by platform."""
    report = overview_report([one for listing in listings for one in listing.kept], platforms, now)
    return replace(report, sentence=f"{report.sentence} As of {readable_time(now)}.")


def _platforms(client: SyncPrefectClient) -> dict[str, str]:
    """By source, the platform that it is a part of, or whose databases it has."""
    backups = {
        str(each.data["backup"]): str(each.name) for each in documents(client, Platform) if each.data.get("backup")
    }
    named = {name: source_settings(name).platform for name in _sources()}
    return {**backups, **{source: platform for source, platform in named.items() if platform}}


def _sources() -> list[str]:
    with get_client(sync_client=True) as client:
        return [each.name for block in source_blocks() for each in documents(client, block) if each.name]


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
    return _write(client, f"stored-sets-{listing.source}", _report(listing, now))


def _write(client: SyncPrefectClient, key: str, report: Report) -> UUID:
    text, title = report.as_markdown(), escaped(report.title)
    for known in client.read_artifacts(artifact_filter=ArtifactFilter(key=ArtifactFilterKey(any_=[key]))):
        client.update_artifact(known.id, ArtifactUpdate(data=text, description=title))
        return known.id
    return client.create_artifact(ArtifactCreate(key=key, type="markdown", description=title, data=text)).id
