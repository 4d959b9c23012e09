"""Where a server listens and how to get there, in libpq's own words."""

from __future__ import annotations

from pathlib import PurePosixPath

from engine.hosts.endpoints import Tcp, Tunnel, Unix


def endpoint(host: str, port: int) -> Tcp | Unix:
    """What libpq means by the two: `host` is a name, an address or the folder of a socket."""
    return Unix(f"{host}/.s.PGSQL.{port}") if host.startswith("/") else Tcp(host, port)


def way(host: str, port: int, tunnel: Tunnel) -> dict[str, str]:
    """libpq's `host`, `hostaddr`, `port` (and `sslmode` where TLS cannot be) of the way to `host` and `port`.

    TLS checks the server's own name, whatever leads there; a socket has no TLS.
    """
    at = tunnel.at
    if isinstance(at, Unix):
        return {"host": str(PurePosixPath(at.path).parent), "port": str(port)}
    if at == Tcp(host, port):
        return {"host": host, "port": str(port)}
    parameters = {"host": host, "hostaddr": at.host, "port": str(at.port)}
    return parameters | ({"host": "localhost", "sslmode": "disable"} if host.startswith("/") else {})
