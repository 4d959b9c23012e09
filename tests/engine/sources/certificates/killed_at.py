"""`python -m tests.engine.sources.certificates.killed_at MOMENT DIRECTORY PROJECT NAME...`: a renewal that is killed.

The process dies by SIGKILL after a pair was `placed` beside the one that is used, after it was `switched` to, or after
nginx was told to `reload`."""

from __future__ import annotations

import os
import signal
import sys
from typing import Any

from engine.compose.docker import Docker
from engine.config.platforms import PlatformSettings
from engine.hosts.settings import HostSettings
from engine.progress import silent
from engine.releases.certificate_volume import CertificateVolume
from engine.sources.certificates.settings import CertificateSettings
from engine.sources.certificates.source import CertificateSource


def deadly_after(kind: type, method: str, when: str = "") -> None:
    done = getattr(kind, method)

    def call(self: Any, *words: Any, **more: Any) -> Any:
        made = done(self, *words, **more)
        if not when or when in words[0]:
            os.kill(os.getpid(), signal.SIGKILL)
        return made

    setattr(kind, method, call)


def main() -> None:
    moment, directory, project, *names = sys.argv[1:]
    if moment == "placed":
        deadly_after(CertificateVolume, "place")
    elif moment == "switched":
        deadly_after(CertificateVolume, "switch")
    else:
        deadly_after(Docker, "call", "HUP")
    settings = CertificateSettings(platform="small", store="nightly", names=tuple(names))
    platform = PlatformSettings(directory=directory, project=project, store="records")
    source = CertificateSource("tls", settings, HostSettings(), platform)
    source.renew("killed", silent, force=True)


if __name__ == "__main__":
    main()
