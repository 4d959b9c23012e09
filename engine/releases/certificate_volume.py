"""The volume in which nginx finds its certificate and key: read, filled, and changed over in one step.

    fullchain.pem -> live/fullchain.pem     privkey.pem -> live/privkey.pem
    live -> pairs/ID                        previous -> pairs/ID

Both files change together, by one rename of `live`: whatever is killed, a whole pair stands behind their names. The
key goes through pipes only: no argv, no log of a container.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from engine.compose.docker import Docker
from engine.compose.model import Model
from engine.errors import OperationFailed
from engine.nginx.upstreams import FOLDER, SSL_FOLDER
from engine.releases.plan import NGINX
from engine.releases.site import Site

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9.-]{0,80}")
_KEY_BEGINS = re.compile(rb"-----BEGIN [A-Z ]*PRIVATE KEY-----")
_READ = """cd /ssl || exit 1; for each in live previous; do readlink $each || echo; done; echo $(ls -A pairs 2>/dev/null)
[ ! -s fullchain.pem ] || { [ -L fullchain.pem ] && echo linked || echo plain; cat fullchain.pem privkey.pem; }; exit 0"""
_PLACE = """set -e; umask 077; mkdir -p /ssl/pairs; cd /ssl/pairs; rm -rf ".$2"; mkdir ".$2"; cd ".$2"; cat >both
sed -n '/BEGIN .*PRIVATE/,/END .*PRIVATE/p' both >privkey.pem
sed -n '/BEGIN CERTIFICATE/,/END CERTIFICATE/p' both >fullchain.pem; rm both; sync fullchain.pem privkey.pem . || sync
cd ..; chown -R "$1" ".$2"; chmod 755 /ssl /ssl/pairs ".$2"; rm -rf "$2"; mv ".$2" "$2"; sync . || true"""
# What an operator put there as plain files becomes a pair first; then `live` changes, and the names last, which mean the
# same files before and after.
_SWITCH = """set -e; umask 022; cd /ssl; [ -s "pairs/$1/fullchain.pem" ]; [ -s "pairs/$1/privkey.pem" ]
to() { ln -sfn "$2" ".$1"; mv -fT ".$1" "$1"; }
if [ -e fullchain.pem ] && [ ! -L fullchain.pem ]; then
rm -rf "pairs/.$2" "pairs/$2"; mkdir "pairs/.$2"; cp -p fullchain.pem privkey.pem "pairs/.$2/"; mv "pairs/.$2" "pairs/$2"
to live "pairs/$2"
fi
if [ -L live ] && [ "$(readlink live)" != "pairs/$1" ]; then to previous "$(readlink live)"; fi
[ -L fullchain.pem ] || [ ! -e live ] || { to privkey.pem live/privkey.pem; to fullchain.pem live/fullchain.pem; }
to live "pairs/$1"; to privkey.pem live/privkey.pem; to fullchain.pem live/fullchain.pem; sync . || true"""
_TIDY = """cd /ssl/pairs 2>/dev/null || exit 0; for each in * .[!.]*; do [ -e "$each" ] || continue
[ "$(readlink ../live)" = "pairs/$each" ] || [ "$(readlink ../previous)" = "pairs/$each" ] || rm -rf "$each"; done"""
_TRY = """cp "/new/pairs/$1/fullchain.pem" "/new/pairs/$1/privkey.pem" "$2/" && exec nginx -t -q -c "$3" """


@dataclass(frozen=True)
class Held:
    """What is in the volume: the pair that nginx finds, the name of its folder, and that of the one before ('': none).

    `plain`: they are files of an operator, in no folder. `there` are the folders of all pairs."""

    chain: bytes
    key: bytes = field(repr=False)
    live: str = ""
    previous: str = ""
    plain: bool = False
    there: tuple[str, ...] = ()

    @property
    def spare(self) -> tuple[str, ...]:
        """Folders that are neither of the pair that is used nor of the one before."""
        return tuple(sorted({*self.there} - {self.live, self.previous}))


@dataclass(frozen=True)
class CertificateVolume:
    """The volume of one platform; `image` is nginx's, in which all of it is done, and `user` whom nginx runs as."""

    docker: Docker
    volume: str
    image: str
    user: str

    def read(self) -> Held | None:
        """What is there; None where there is no certificate."""
        told = self._run(_READ).split(b"\n", 4)
        if len(told) < 5:
            return None
        live, previous, there, form = (line.decode() for line in told[:4])
        begins = _KEY_BEGINS.search(told[4])
        cut = begins.start() if begins else len(told[4])
        live, previous = live.removeprefix("pairs/"), previous.removeprefix("pairs/")
        return Held(told[4][:cut], told[4][cut:], live, previous, form == "plain", tuple(there.split()))

    def place(self, identity: str, chain: bytes, key: bytes) -> None:
        """Put a pair beside the one that is used."""
        self._run(_PLACE, self.user, _checked(identity), stdin=chain.rstrip() + b"\n" + key)

    def switch(self, identity: str) -> None:
        """Let nginx find this pair from its next reload on, in one step."""
        self._run(_SWITCH, _checked(identity), f"before-{_checked(identity)}")

    def tidy(self) -> None:
        """Remove the pairs that are neither used nor the ones before."""
        self._run(_TIDY)

    def tried(self, identity: str, site: Site) -> str:
        """What nginx says against a pair, in a container of its own and under its own user; '' where it takes it."""
        mounts = {site.path("run/nginx"): FOLDER, self.volume: "/new"}
        argv = self._argv(mounts, self.user, "--sysctl", "net.ipv4.ip_unprivileged_port_start=0")
        argv += ("--tmpfs", f"{SSL_FOLDER}:mode=1777", "--tmpfs", "/tmp:mode=1777", self.image)  # noqa: S108 - in a container
        conf = f"{FOLDER}/live/nginx.conf"
        done = self.docker.tried((*argv, "sh", "-c", _TRY, "sh", _checked(identity), SSL_FOLDER, conf))
        if done.code == 0:
            return ""
        return next((line for line in done.stderr.splitlines() if "[emerg]" in line), done.stderr.strip()[-300:])

    def _run(self, script: str, *words: str, stdin: bytes | None = None) -> bytes:
        argv = (*self._argv({self.volume: "/ssl"}, "0"), self.image, "sh", "-c", script, "sh", *words)
        return self.docker.call(argv, stdin=stdin)

    def _argv(self, mounts: Mapping[str, str], user: str, *more: str) -> tuple[str, ...]:
        """Nothing of it is logged: the key is written to its output."""
        volumes = (
            word
            for there, at in mounts.items()
            for word in ("--volume", f"{there}:{at}{'' if at == '/ssl' else ':ro'}")
        )
        plain = ("--rm", "--interactive", "--log-driver", "none", "--network", "none", "--user", user)
        return ("docker", "run", *plain, *more, *volumes, "--entrypoint", "")


def certificate_volume(docker: Docker, model: Model) -> CertificateVolume | None:
    """Where the platform's nginx has its certificate; None where it is in no volume of the platform's own."""
    service = model.services.get(NGINX)
    for each in (service.definition.get("volumes") or ()) if service else ():
        if each["target"] == SSL_FOLDER and each.get("source") in model.volumes and service:
            user = str(service.definition.get("user") or "0")
            return CertificateVolume(docker, model.volumes[each["source"]], service.image, user)
    return None


def _checked(identity: str) -> str:
    if not _ID.fullmatch(identity):
        raise OperationFailed(f"{identity[:60]!r} cannot be the name of a certificate's folder.")
    return identity
