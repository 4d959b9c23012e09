"""How a set of PostgreSQL's is proven: restored into a scratch server, then compared with its proofs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Protocol

from psycopg import sql

from engine.errors import CouldNotVerify, DamagedSet
from engine.progress import Progress
from engine.repository.body import Body
from engine.repository.findings import Findings
from engine.repository.repository import Repository
from engine.sources.postgres.drill.restore_and_compare import Trial
from engine.sources.postgres.facts import ClusterFacts
from engine.sources.postgres.kinds import facts_of
from engine.sources.postgres.programs.installed import client_programs, version_of
from engine.sources.postgres.proof.proof import DatabaseProof
from engine.sources.postgres.proof.roles import Roles
from engine.sources.postgres.restore.replay import read_proof, read_role_proofs
from engine.sources.postgres.scratch.scratch import scratch_server
from engine.sources.postgres.server.server import Server
from engine.sources.postgres.settings import ServerSettings

_REMEDY = "see which of the set's own roles and settings keep a superuser out of a new server"


class Scratch(Protocol):
    """A throw-away server, reached by the Unix socket in a folder."""

    @property
    def socket(self) -> Path: ...

    @property
    def port(self) -> int: ...

    @property
    def superuser(self) -> str: ...


def prove(repository: Repository, body: Body, findings: Findings, progress: Progress, docker_host: str = "") -> None:
    """Restore a set into a scratch server and compare; what is seen goes into `findings`.

    The scratch server is a container of the source's image where `docker_host` ('': the usual engine)
    has it, else a server of the source's major that is installed here or came along.

    Raises:
        DamagedSet: the set does not restore, or has no proof.
        CouldNotVerify: nothing can be shown here.
    """
    facts = facts_of(body)
    findings.noun = "database"
    findings.remarks = {
        "PostgreSQL of the source": facts.server_version,
        "restored into": "nothing: it did not come so far",
    }
    if facts.major is None:
        raise DamagedSet(f"{body.key} names no PostgreSQL version ({facts.server_version[:40]!r}); use another.")
    progress(f"drill of {body.key}: starting a scratch PostgreSQL {facts.server_version}")
    proofs, roles = _proofs(repository, body), _role_proofs(repository, body)
    findings.sample_percent = min([body.sample_percent, *(proof.sample_percent for proof in proofs.values())])
    encoding, locale = _encoding_and_locale(proofs)
    with _scratch(findings, facts, facts.major, encoding, locale, docker_host) as scratch:
        settings = ServerSettings(host=str(scratch.socket), port=scratch.port, user=scratch.superuser, store="scratch")
        server = _for_who_may_log_in(Server("scratch", settings, remedy=_REMEDY, major=facts.major), roles)
        Trial(repository, body, facts, proofs, roles, server, client_programs(facts.major), progress).run(findings)


@contextmanager
def _scratch(
    findings: Findings, facts: ClusterFacts, major: int, encoding: str, locale: str, docker_host: str
) -> Iterator[Scratch]:
    if facts.image:
        from engine.sources.postgres.scratch import scratch_container  # the library takes a while to load

        if scratch_container.has_image(facts.image, docker_host):
            with scratch_container.scratch_container(
                facts.image, superuser=facts.superuser, encoding=encoding, locale=locale, engine=docker_host
            ) as container:
                findings.remarks["restored into"] = f"a container of the source's own image, {facts.image}"
                yield container
            return
    with scratch_server(major, superuser=facts.superuser, encoding=encoding, locale=locale) as instance:
        version = ".".join(str(part) for part in version_of(instance.programs / "postgres") or (major,))
        findings.remarks["restored into"] = f"a scratch server of this host, PostgreSQL {version}"
        yield instance


def _proofs(repository: Repository, body: Body) -> dict[str, DatabaseProof]:
    """The proof of each database in the set.

    Raises:
        DamagedSet: a dump without a proof, or none at all: nothing would be compared.
    """
    files = {file.of: file for file in body.of_roles("proof") if file.of}
    dumped = {file.of for file in body.of_roles("sql", "dump")}
    if not dumped or dumped != set(files):
        raise DamagedSet(f"{body.key} has dumps without a proof or none at all; nothing can be compared, use another.")
    proofs = {name: read_proof(repository, body, file) for name, file in files.items()}
    if strange := [name for name, proof in proofs.items() if proof.database != name]:
        raise DamagedSet(f"{body.key}: the proof of {strange[0]!r} is another database's; use another set.")
    return proofs


def _role_proofs(repository: Repository, body: Body) -> Roles:
    """The proof of the roles.

    Raises:
        DamagedSet: the set lacks its roles, or their proof.
    """
    proof = body.file("proof")
    if body.file("globals") is None or proof is None:
        raise DamagedSet(f"{body.key} lacks its roles or their proof; use another set.")
    return read_role_proofs(repository, body, proof)


def _for_who_may_log_in(server: Server, roles: Roles) -> Server:
    """The scratch server as a superuser that is one when the roles of the set are there, and may log in then.

    Its first superuser has the name of the source's, which may be one no more: then another is made beforehand.

    Raises:
        CouldNotVerify: the set has none, as no source can be that was backed up.
    """
    able = [name for name, role in roles.items() if {"superuser", "login"} <= set(role.attributes.split())]
    if server.settings.user in able or server.settings.user not in roles:
        return server
    if not able:
        raise CouldNotVerify(
            "No role of the set is a superuser that may log in, so nobody could restore its databases."
        )
    with server.connect() as connection:
        connection.execute(sql.SQL("CREATE ROLE {} SUPERUSER LOGIN").format(sql.Identifier(able[0])))
    return replace(server, settings=server.settings.model_copy(update={"user": able[0]}))


def _encoding_and_locale(proofs: dict[str, DatabaseProof]) -> tuple[str, str]:
    """For the scratch server's own databases: as the source's."""
    own = proofs.get("template1") or proofs.get("postgres")
    return (own.properties.encoding, own.properties.collate) if own else ("UTF8", "C.UTF-8")
