"""`python -m demo.dataset`: load the demo's data into a server, or change it a little."""

from __future__ import annotations

import argparse
import sys

from psycopg import ProgrammingError
from psycopg.conninfo import conninfo_to_dict

from demo.dataset import change, load
from demo.dataset.contents import DATABASES
from engine.errors import ConfigurationError, PlatformOpsError


def main(argv: list[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    options = _parser().parse_args(argv)
    try:
        conninfo = _without_secret(options.conninfo)
        if options.change:
            change(conninfo)
        else:
            load(conninfo, scale=options.scale, databases=options.database, progress=_say)
    except PlatformOpsError as error:
        _say(str(error))
        return error.exit_code
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m demo.dataset",
        description="Load the demo's data into an empty PostgreSQL 16 server, as a superuser.",
        epilog="The server is found as libpq finds it: PGHOST, PGPORT, PGUSER, PGPASSWORD, PGPASSFILE.",
    )
    parser.add_argument("--conninfo", default="dbname=postgres", help="libpq connection string without a password")
    parser.add_argument(
        "--scale", type=float, default=1.0, help="factor of the big tables; 1 (the default) is about 260 MB"
    )
    parser.add_argument(
        "--database",
        action="append",
        choices=[database.name for database in DATABASES],
        help="load only this one; may be given several times",
    )
    parser.add_argument(
        "--change", action="store_true", help="do a small day's work on what is loaded, instead of loading"
    )
    return parser


def _without_secret(conninfo: str) -> str:
    try:
        known = conninfo_to_dict(conninfo)
    except ProgrammingError:
        raise ConfigurationError(
            "The value of --conninfo is not a connection string; write it as 'host=... port=... dbname=postgres'."
        ) from None
    if "password" in known:
        raise ConfigurationError(
            "The value of --conninfo holds a password, which every user of this host can read in the process "
            "list; set PGPASSWORD or PGPASSFILE instead."
        )
    return conninfo


def _say(line: str) -> None:
    sys.stderr.write(line + "\n")


if __name__ == "__main__":
    sys.exit(main())
