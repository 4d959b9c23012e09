"""The roles that a restored database needs and the server lacks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import psycopg
from psycopg import sql
from psycopg.rows import TupleRow
from pydantic import TypeAdapter, ValidationError

from engine.errors import ConfigurationError, OperationFailed
from engine.secrets import SecretReference, resolve
from engine.sources.postgres.archive.globals_sql import only_roles
from engine.sources.postgres.kinds import facts_of
from engine.sources.postgres.programs import commands
from engine.sources.postgres.restore.checked_copy import Source
from engine.sources.postgres.restore.managed_roles import create_as_far_as_it_may
from engine.sources.postgres.restore.replay import APPLICATION
from engine.sources.postgres.server.environment import run_here
from engine.sources.postgres.server.raw_text import to_bytes, unconverted
from engine.sources.postgres.server.rights import is_superuser
from engine.sources.postgres.server.server import Server, failed
from engine.streams.stderr import summary

_SECONDS = 600
_MAY_LOG_IN = "SELECT rolname FROM pg_catalog.pg_roles WHERE rolcanlogin AND rolname = ANY (%s) ORDER BY 1"
_HAVE_NONE = """
SELECT rolname FROM pg_catalog.pg_authid WHERE rolcanlogin AND rolpassword IS NULL AND rolname = ANY (%s) ORDER BY 1
"""


@dataclass(frozen=True, slots=True)
class MadeRoles:
    """The roles that were `created`; what they `lack`, in words, where the server's master may not give it; those of a set
    without passwords that may log in and have none yet, also from a restore before."""

    created: tuple[str, ...] = ()
    lack: tuple[str, ...] = ()
    without_password: tuple[str, ...] = ()


def with_passwords(server: Server, given: Sequence[str], where: str) -> Server:
    """The server, with passwords for roles, each `ROLE=REFERENCE`, beside those of the configuration.

    Raises:
        ConfigurationError: one is something else; it is not repeated, since it may be the password itself.
    """
    passwords = dict(server.settings.role_passwords)
    for number, one in enumerate(given, 1):
        role, _, reference = one.rpartition("=")  # a role's name may hold one
        try:
            passwords[role] = TypeAdapter(SecretReference).validate_python(reference)
        except ValidationError:
            role = ""
        if not role:
            raise ConfigurationError(
                f"{where} {number} is no ROLE=REFERENCE; say where the password is: ROLE=env:NAME, ROLE=file:/path or "
                "ROLE=aws:name."
            )
    return replace(server, settings=server.settings.model_copy(update={"role_passwords": passwords}))


def create_missing_roles(server: Server, programs: Path, source: Source) -> MadeRoles:
    """Create the roles of the set that the server lacks, with passwords and memberships; others stay as they are.

    Raises:
        OperationFailed: one cannot be created or become a member (who granted that may not do so here); then none is.
        ConfigurationError: a password that is given by reference is not there.
    """
    text = source.globals_sql()
    facts = facts_of(source.body)
    with server.connect(application=APPLICATION) as connection:
        with unconverted(connection):
            present = {row[0] for row in connection.execute("SELECT rolname FROM pg_catalog.pg_roles")}
        absent = tuple(role for role in facts.roles if role not in present)
        superuser = is_superuser(connection)
        given = {role: resolve(at) for role, at in server.settings.role_passwords.items() if role in facts.roles}
        lack: tuple[str, ...] = ()
        try:
            if absent and superuser:
                _create(server, programs, only_roles(text, absent), absent)
            elif absent:
                lack = create_as_far_as_it_may(connection, server, text, absent)
            # Who is no superuser sees no passwords: what it has just made has none.
            query, among = (_HAVE_NONE, facts.roles) if superuser else (_MAY_LOG_IN, absent)
            without = [] if facts.passwords else [name for (name,) in connection.execute(query, (list(among),))]
            _give_passwords(connection, {name: given[name] for name in {*absent, *without} & given.keys()})
        except psycopg.Error as error:
            raise failed(f"Creating the roles of the set on {server.address} failed", error) from None
    return MadeRoles(absent, lack, tuple(name for name in without if name not in given))


def _create(server: Server, programs: Path, text: str, absent: Sequence[str]) -> None:
    done = run_here(
        commands.psql_argv(programs, server.settings.maintenance_database),
        env=server.restoring_environment(APPLICATION),
        timeout=_SECONDS,
        stdin=to_bytes(f"BEGIN;\n{text}COMMIT;\n"),
    )
    if done.code:
        raise OperationFailed(
            f"The roles {', '.join(absent)} could not be created, so none was: {summary(done.stderr)}; change that on "
            f"{server.address} or create them there, then restore again."
        )


def _give_passwords(connection: psycopg.Connection[TupleRow], given: Mapping[str, str]) -> None:
    """As verifiers: the server's log may hold statements, and no password is in one."""
    for role, password in given.items():
        verifier = connection.pgconn.encrypt_password(password.encode(), role.encode())
        statement = sql.SQL("ALTER ROLE {} PASSWORD {}").format(sql.Identifier(role), sql.Literal(verifier.decode()))
        connection.execute(statement)
