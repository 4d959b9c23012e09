"""`python -m deployments.apply`: make a Prefect server match platform-ops.toml and prefect.yaml.

Blocks, work pools, deployments with their dropdowns, automations. Running it again changes nothing.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import click
import yaml
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.responses import DeploymentResponse
from prefect.flows import load_flow_from_entrypoint
from prefect.settings import get_current_settings
from prefect.utilities.callables import parameter_schema

from deployments.assets import Reporter, known_assets, known_sets, known_versions, stored_lists
from deployments.automations import ALERT_BLOCK, POOLS, alert_block, apply_automation, remove_unwanted, wanted
from deployments.config_blocks import (
    apply_block,
    config_blocks,
    only_inside_prefect,
    register_types,
    unmanaged_blocks,
)
from deployments.forms import with_dropdowns, with_services
from deployments.plan import Document, completed, is_wanted, scheduled_for, stale_slugs
from deployments.prefect_api import (
    as_existing,
    connected,
    content,
    delete_schedules,
    ensure_pool,
    ensure_queue,
    find_deployment,
    set_schema,
)
from engine.config.settings import Settings
from engine.errors import OperationFailed, PlatformOpsError
from engine.sources.registry import load_settings
from tasks.forms import Schema

PREFECT_YAML = Path(__file__).parent.parent / "prefect.yaml"
_DEPLOY_TIMEOUT_SECONDS = 180


def apply(settings: Settings, report: Reporter = click.echo) -> None:
    """Apply everything; each line given to `say` tells what was made (+), changed (~) or is as it was (=).

    Raises:
        PlatformOpsError: the server does not answer, or refuses a part.
    """
    for place in only_inside_prefect(settings):
        report(f"! {place} is a prefect: reference; a shell on the worst day cannot read it")
    with connected() as client:
        apply_blocks(client, settings, report)
        for name, description in POOLS.items():
            report(f"{'+' if ensure_pool(client, name, description) else '='} work pool {name}")
        apply_deployments(client, settings, report)
        apply_automations(client, settings, report)


def apply_blocks(client: SyncPrefectClient, settings: Settings, report: Reporter) -> None:
    """Write the blocks that differ from the file."""
    register_types()
    for name, block in config_blocks(settings):
        for line in apply_block(client, name, block):
            report(line)
    for title in unmanaged_blocks(client, settings):
        report(f"? {title} is not in the file; it is left as it is, and no form offers it")


def apply_deployments(client: SyncPrefectClient, settings: Settings, report: Reporter) -> None:
    """Deploy all of prefect.yaml, completed for the sources and stores of the file."""
    document = yaml.safe_load(PREFECT_YAML.read_text(encoding="utf8"))
    schemas = {entry["name"]: _schema(entry["entrypoint"]) for entry in document["deployments"]}
    document["deployments"] = [
        each for each in document["deployments"] if is_wanted(schemas[each["name"]], settings, each["name"])
    ]
    entries = {entry["name"]: entry for entry in document["deployments"]}
    before = {name: found for name in entries if (found := find_deployment(client, name)) is not None}
    existing = {name: as_existing(deployment) for name, deployment in before.items()}
    for name, entry in entries.items():
        if queue := entry["work_pool"].get("work_queue_name"):
            report(f"{ensure_queue(client, entry['work_pool']['name'], queue)} work queue {name}: one at a time")
    _deploy(completed(document, schemas, settings, existing, _lists(client, settings)))
    assets, sets, versions = known_assets(settings, report), known_sets(settings), known_versions(settings, report)
    for name, entry in entries.items():
        form = with_services(with_dropdowns(schemas[name], settings, name, assets, sets), versions)
        after = _finish(client, entry, form, settings)
        report(_line(name, before.get(name), after))


def _lists(client: SyncPrefectClient, settings: Settings) -> str:
    """Links to the lists of stored sets: Prefect's menu leads to no artifact."""
    ui = (get_current_settings().ui_url or "").rstrip("/")
    found = [
        f"[{name}]({ui}/artifacts/artifact/{artifact})" for name, artifact in stored_lists(client, settings).items()
    ]
    return f"Stored sets: {', '.join(found)}" if found else ""


def _line(name: str, before: DeploymentResponse | None, after: DeploymentResponse) -> str:
    if before is None:
        return f"+ deployment {name}"
    old, new = content(before), content(after)
    changed = [field for field in new if old[field] != new[field]]
    return f"~ deployment {name}: {', '.join(changed)}" if changed else f"= deployment {name}"


def _schema(entrypoint: str) -> Schema:
    return parameter_schema(load_flow_from_entrypoint(entrypoint)).model_dump(exclude_unset=True)


def _deploy(document: Document) -> None:
    """Prefect's own `prefect deploy --all`, on the completed document."""
    with tempfile.TemporaryDirectory(prefix="platform-ops-") as folder:
        path = Path(folder, "prefect.yaml")
        path.write_text(yaml.safe_dump(document, allow_unicode=True), encoding="utf8")
        argv = [
            sys.executable,
            "-m",
            "prefect",
            "deploy",
            "--all",
            "--no-prompt",
            "--prefect-file",
            str(path),
        ]
        # A profile or a test may have given the settings: the child must talk to the same server.
        environment = os.environ | get_current_settings().to_environment_variables(exclude_unset=True)
        try:
            done = subprocess.run(
                argv, capture_output=True, text=True, timeout=_DEPLOY_TIMEOUT_SECONDS, env=environment
            )
        except subprocess.TimeoutExpired:
            raise OperationFailed(
                f"prefect deploy did not end within {_DEPLOY_TIMEOUT_SECONDS} s; look at the Prefect server's log."
            ) from None
    if done.returncode != 0:
        last = (done.stderr.strip() or done.stdout.strip() or "no output").splitlines()[-1]
        raise OperationFailed(f"prefect deploy ended with {done.returncode}: {last.strip()}")


def _finish(client: SyncPrefectClient, entry: Document, schema: Schema, settings: Settings) -> DeploymentResponse:
    deployment = _deployed(client, entry["name"])
    set_schema(client, deployment, schema)
    stale = stale_slugs(entry, scheduled_for(schema), settings, as_existing(deployment))
    delete_schedules(client, deployment, stale)
    return _deployed(client, entry["name"])


def _deployed(client: SyncPrefectClient, name: str) -> DeploymentResponse:
    deployment = find_deployment(client, name)
    if deployment is None:
        raise OperationFailed(f"prefect deploy left out {name}; its flow must be named {name} too.")
    return deployment


def apply_automations(client: SyncPrefectClient, settings: Settings, report: Reporter) -> None:
    """Create, update or remove the automations."""
    block = alert_block(client)
    automations = list(wanted(block, settings.sources))
    for automation in automations:
        report(apply_automation(client, automation))
    for line in remove_unwanted(client, {automation.name for automation in automations}):
        report(line)
    if block is None:
        report(
            f"? nobody is told of failures: make a notification block called {ALERT_BLOCK} in the UI "
            "(Blocks, +, Slack, Teams, mail, ...) and apply again"
        )


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--config", type=click.Path(path_type=Path), default=None, help="Which platform-ops.toml.")
def main(config: Path | None) -> None:
    """Make the Prefect server match platform-ops.toml and prefect.yaml."""
    try:
        apply(load_settings(config))
    except PlatformOpsError as error:
        click.echo(str(error), err=True)
        sys.exit(error.exit_code)


if __name__ == "__main__":
    main()
