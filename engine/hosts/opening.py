"""The host a setting names. One of each for this process, so that its tasks share a connection."""

from __future__ import annotations

import atexit
import threading

from engine.hosts.base import Host
from engine.hosts.machine import Local
from engine.hosts.where import ContainerPlace, LocalPlace, parse_where

_Key = tuple[str, str, str, str]
_hosts: dict[_Key, Host] = {}
_lock = threading.Lock()


def open_host(where: str, *, ssh_key: str = "", ssh_known_hosts: str = "", docker_host: str = "") -> Host:
    """The host of that name (see `engine.hosts.where`). Nothing is connected before it is used."""
    key = (where, ssh_key, ssh_known_hosts, docker_host)
    with _lock:
        if key not in _hosts:
            _hosts[key] = _made(*key)
        return _hosts[key]


def close_hosts() -> None:
    """Let go of every connection of this process."""
    with _lock:
        for host in _hosts.values():
            host.close()
        _hosts.clear()


def _made(where: str, ssh_key: str, ssh_known_hosts: str, docker_host: str) -> Host:
    place = parse_where(where)
    if isinstance(place, LocalPlace):
        return Local()
    # Imported when asked for: both libraries take a while to load.
    if isinstance(place, ContainerPlace):
        from engine.hosts.container import Container

        return Container(place, docker_host)
    from engine.hosts.ssh import Ssh

    return Ssh(place, ssh_key, ssh_known_hosts)


atexit.register(close_hosts)
