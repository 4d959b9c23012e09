"""The command lines of the client programs, as data. No password is ever in one."""

from __future__ import annotations

from pathlib import Path, PurePath

from psycopg.conninfo import make_conninfo

from engine.sources.postgres.server.unreadable import READABLE, Relation, Unreadable


def _dbname(database: str) -> str:
    """`--dbname` with a conninfo string: a name such as `--help` or `a=b` stays a name."""
    return f"--dbname={make_conninfo(dbname=database)}"


def dump_argv(
    programs: PurePath,
    database: str,
    snapshot: str,
    lock_wait_seconds: int,
    compress: int = 0,
    unreadable: Unreadable = READABLE,
) -> tuple[str, ...]:
    """Dump one database in the given snapshot, as a custom archive on stdout.

    `compress` is gzip's level inside it; 0, not at all, unless the archive crosses a network. `unreadable` is left out.
    """
    return (
        str(programs / "pg_dump"),
        "--format=custom",
        f"--compress={compress}",
        "--no-password",
        "--no-tablespaces",  # or CREATE DATABASE would name one
        f"--snapshot={snapshot}",
        f"--lock-wait-timeout={lock_wait_seconds * 1000}",
        *(f"--exclude-table={_pattern(one)}" for one in unreadable.omitted),
        *(f"--exclude-table-data={_pattern(one)}" for one in unreadable.values),
        *(("--no-blobs",) if unreadable.large_objects else ()),
        _dbname(database),
    )


def _pattern(relation: Relation) -> str:
    """As psql's \\d takes it: nothing within quotes has a meaning of its own."""
    parts = (part.replace('"', '""') for part in (relation.schema, relation.name))
    return ".".join(f'"{part}"' for part in parts)


def schema_argv(programs: Path, database: str) -> tuple[str, ...]:
    """Dump the schema alone, as a custom archive on stdout."""
    return (
        str(programs / "pg_dump"),
        "--format=custom",
        "--compress=0",
        "--no-password",
        "--schema-only",
        _dbname(database),
    )


def globals_argv(programs: PurePath, database: str, *, passwords: bool = True) -> tuple[str, ...]:
    """Roles, memberships and role settings as SQL on stdout."""
    return (
        str(programs / "pg_dumpall"),
        "--globals-only",
        "--no-tablespaces",
        *(() if passwords else ("--no-role-passwords",)),
        "--no-password",
        _dbname(database),
    )


def archive_list_argv(programs: Path) -> tuple[str, ...]:
    """The table of contents of the archive on stdin; with --create it names the database's own entries."""
    return (str(programs / "pg_restore"), "--list", "--create")


def section_list_argv(programs: Path, archive: Path, section: str, *, verbose: bool) -> tuple[str, ...]:
    """One section of an archive's table of contents; `verbose`: all of it, and what each entry depends on."""
    return (
        str(programs / "pg_restore"),
        "--list",
        f"--section={section}",
        *(("--verbose",) if verbose else ()),
        str(archive),
    )


def archive_text_argv(
    programs: Path, *, archive: Path | None = None, use_list: Path | None = None, create: bool = False
) -> tuple[str, ...]:
    """The SQL text of an archive (stdin when no path is given), all of it or only the listed entries."""
    return (
        str(programs / "pg_restore"),
        "--file=-",
        "--no-tablespaces",
        "--enable-row-security",
        *(("--create",) if create else ()),
        *((f"--use-list={use_list}",) if use_list else ()),
        *((str(archive),) if archive else ()),
    )


def psql_argv(programs: Path, database: str) -> tuple[str, ...]:
    """Run the SQL on stdin; the first error ends it with exit code 3."""
    return (
        str(programs / "psql"),
        "--no-psqlrc",
        "--quiet",
        "--no-password",
        "--set=ON_ERROR_STOP=1",
        "--output=/dev/null",
        _dbname(database),
    )


def ends_in_argv(database: str) -> tuple[str, ...]:
    """For psql: read stdin, then fail unless that ended in this database (the file is not another's)."""
    name = "pg_catalog.current_database()"
    bytes_of_name = f"pg_catalog.encode(pg_catalog.convert_to({name}::pg_catalog.text, 'SQL_ASCII'), 'hex')"
    raised = f"SELECT ('the file is of database ' || {name})::pg_catalog.int4"
    return ("--file=-", f"--command={raised} WHERE {bytes_of_name} <> '{database.encode().hex()}'")


def restore_argv(
    programs: Path,
    database: str,
    section: str = "",
    *,
    archive: Path | None = None,
    use_list: Path | None = None,
    jobs: int = 1,
    exit_on_error: bool = True,
) -> tuple[str, ...]:
    """Restore one section of an archive (stdin when no path is given) or any, all of it or only the listed entries,
    into an existing database; the first error ends it, or it goes on and says of each which entry it is of."""
    return (
        str(programs / "pg_restore"),
        "--exit-on-error" if exit_on_error else "--verbose",
        "--no-password",
        "--no-tablespaces",
        "--enable-row-security",
        *((f"--section={section}",) if section else ()),
        *((f"--use-list={use_list}",) if use_list else ()),
        *((f"--jobs={jobs}",) if jobs > 1 else ()),
        _dbname(database),
        *((str(archive),) if archive else ()),
    )


def restore_stream_argv(programs: Path, database: str, *, create: bool) -> tuple[str, ...]:
    """Restore the archive on stdin: into the database it creates, or into one that exists."""
    return (
        str(programs / "pg_restore"),
        "--exit-on-error",
        "--no-password",
        "--no-tablespaces",
        "--enable-row-security",
        *(("--create", _dbname("postgres")) if create else (_dbname(database),)),
    )
