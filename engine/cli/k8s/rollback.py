"""platformctl k8s rollback"""

from __future__ import annotations

import click

from engine.cli.approval import approve_option
from engine.cli.invocation import Invocation, cluster_option, operation
from engine.cli.k8s.running import carry_out, run_of
from engine.cli.outcome import Outcome


@click.command(
    help="""Go back to the revision before, or to one of `history`: its image, and the ConfigMaps as its pods read them.

    The database stays as it is: `k8s migrate --down N` goes back, where the migrations have a way.

    \b
    Example:
      platformctl k8s rollback
      platformctl k8s rollback --to-revision 7
    """,
)
@click.option("--to-revision", type=click.IntRange(1), default=None, metavar="N", help="Which revision.")
@cluster_option
@approve_option
@operation
def command(invocation: Invocation, to_revision: int | None, cluster: str | None, approve: str | None) -> Outcome:
    return carry_out(invocation, run_of(invocation, cluster, "rollback", approve, to_revision=to_revision or 0))
