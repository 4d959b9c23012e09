"""platformctl k8s deploy"""

from __future__ import annotations

import click

from engine.cli.approval import approve_option
from engine.cli.invocation import Invocation, cluster_option, operation
from engine.cli.k8s.running import carry_out, run_of
from engine.cli.outcome import Outcome


@click.command(
    help="""Bring an application to a version: plan by dry run, approval (production), a verified backup and the migrations
    where some are due, apply, wait for the new pods, the smoke test, the record.

    A rollout that cannot succeed is known early and undone by itself, with the reasons. Without a version only
    what the manifests changed is applied. Ends with 4 when another run is at it.

    \b
    Example:
      platformctl k8s deploy 1a2b3c4d-20260101120000 --cluster staging
      platformctl k8s deploy 1a2b3c4d-20260101120000 --cluster production --approve 3f2a9c1b7d5e
    """,
)
@click.argument("version", required=False, default="")
@cluster_option
@approve_option
@operation
def command(invocation: Invocation, version: str, cluster: str | None, approve: str | None) -> Outcome:
    return carry_out(invocation, run_of(invocation, cluster, "deploy", approve, version=version))
