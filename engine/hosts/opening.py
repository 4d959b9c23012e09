"""The host a setting names. One of each for this process, so that its tasks share a connection."""

from __future__ import annotations

import atexit
import threading

from engine.hosts.base import Host
from engine.hosts.machine import Local
from engine.hosts.settings import HostSettings
from engine.hosts.where import InContainer, OnThisMachine, parse_where

_hosts: dict[HostSettings, Host] = {}
_lock = threading.Lock()


def open_host(settings: HostSettings) -> Host:
    """The host that `settings` name. Nothing is connected before it is used."""
    with _lock:
        if settings not in _hosts:
            _hosts[settings] = _made(settings)
        return _hosts[settings]


def close_hosts() -> None:
    """Let go of every connection of this process."""
    with _lock:
        for host in _hosts.values():
            host.close()
        _hosts.clear()


def _made(settings: HostSettings) -> Host:
    where = parse_where(settings.where)
    if isinstance(where, OnThisMachine):
        return Local()
    # Imported when asked for: both libraries take a while to load.
    if isinstance(where, InContainer):
        from engine.hosts.container import Container

        return Container(where, settings.docker_host)
    from engine.hosts.ssh import Ssh

    return Ssh(where, settings.ssh_key or "", settings.ssh_known_hosts)


atexit.register(close_hosts)
