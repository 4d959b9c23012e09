"""platformctl certificate renew"""

from __future__ import annotations

import secrets

import click

from engine.cli.completing import names_of
from engine.cli.invocation import Invocation, operation
from engine.cli.outcome import Outcome, problem_of
from engine.errors import ConfigurationError
from engine.operations.backup import BackupRun
from engine.reports.backup import backup_report
from engine.sources.certificates.operation import RenewalRun
from engine.sources.certificates.report import renewal_report
from engine.sources.certificates.source import CertificateSource
from engine.steps import InShell


@click.command(
    "renew",
    help="""Issue or renew the certificate of a platform's nginx, install it, and store what changed.

    It is tried before it is shown: that the key fits, that it is for the names that were asked for, that it is
    valid today, and that nginx takes it. Whatever fails keeps the one before.

    \b
    Example:
      platformctl certificate renew
      platformctl certificate renew tls --now
    """,
)
@click.argument("name", required=False, shell_complete=names_of("sources"))
@click.option("--now", "force", is_flag=True, help="Also where nothing is due.")
@operation
def command(invocation: Invocation, name: str | None, force: bool) -> Outcome:
    source, steps = _source(invocation, name), InShell(invocation.progress)
    run = RenewalRun(source, "platformctl certificate renew", force)
    stored = BackupRun(source, invocation.repository, secrets.token_hex(8), "platformctl certificate renew")
    run.carry_out(steps, lambda: stored.carry_out(steps))
    problem = run.problem() or stored.problem()
    report = renewal_report(run, backup_report(stored.result))
    keys = [one.key for one in stored.result.stored] + [one.since for _, one in stored.result.unchanged]
    document = run.as_data() | {"stored": str(keys[0]) if keys else None}
    return Outcome("certificate renew", document, report, problem=problem_of(problem) if problem else None)


def _source(invocation: Invocation, name: str | None) -> CertificateSource:
    from engine.sources.certificates.settings import CertificateSettings

    known = [each for each, own in invocation.settings.sources.items() if isinstance(own, CertificateSettings)]
    if name is None and len(known) != 1:
        raise ConfigurationError(f"Name one of [certificates]; there are: {', '.join(known) or 'none'}.")
    found = invocation.source(name or known[0])
    if not isinstance(found, CertificateSource):
        raise ConfigurationError(f"{found.name} is no certificate; there are: {', '.join(known) or 'none'}.")
    return found
