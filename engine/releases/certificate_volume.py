"""The volume in which nginx finds its certificate and key: read, filled, and changed over in one step.

    fullchain.pem -> live/fullchain.pem     privkey.pem -> live/privkey.pem
    live -> pairs/ID                        previous -> pairs/ID

Both files change together, by one rename of `live`: whatever is killed, a whole pair stands behind their names. The
key goes through pipes only: no argv, no log of a container.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from engine.compose.docker import Docker
from engine.compose.model import Model
from engine.errors import OperationFailed
from engine.nginx.upstreams import FOLDER, SSL_FOLDER
from engine.releases.plan import NGINX
from engine.releases.site import Site

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9.-]{0,80}")
_KEY_BEGINS = re.compile(rb"-----BEGIN [A-Z ]*PRIVATE KEY-----")
_READ = """cd /ssl || exit 1; for each in live previous; do readlink $each || echo; done; echo $(ls -A pairs 2>/dev/null)
[ ! -s fullchain.pem ] || { [ "$(readlink fullchain.pem)" = live/fullchain.pem ] && echo linked || echo plain
cat fullchain.pem privkey.pem; }; exit 0"""
_PAIR = """cd "/ssl/pairs/$1" && cat fullchain.pem && { cat privkey.pem 2>/dev/null || true; }"""
_PLACE = """set -e; umask 077; mkdir -p /ssl/pairs; cd /ssl/pairs
[ ! -e "$2" ] || { echo "pairs/$2 is there already" >&2; exit 1; }
rm -rf ".$2"; mkdir ".$2"; cd ".$2"; cat >both
sed -n '/BEGIN .*PRIVATE/,/END .*PRIVATE/p' both >privkey.pem
sed -n '/BEGIN CERTIFICATE/,/END CERTIFICATE/p' both >fullchain.pem; rm both; sync fullchain.pem privkey.pem . || sync
cd ..; chown -R "$1" ".$2"; chmod 755 /ssl /ssl/pairs ".$2"; mv ".$2" "$2"; sync . || true"""
# What an operator put there himself, as files or as links of his own, becomes a pair first; then `live` changes, and the
# names last, which mean the same files before and after.
_TO = """set -e; umask 022; cd /ssl
to() { ln -sfn "$2" ".$1"; mv -fT ".$1" "$1"; }
"""
_SWITCH = f"""{_TO}[ -s "pairs/$1/fullchain.pem" ]; [ -s "pairs/$1/privkey.pem" ]
own() {{ [ -e "$1" ] && [ "$(readlink "$1")" != "live/$1" ]; }}
if own fullchain.pem || own privkey.pem; then
if [ ! -e "pairs/$2" ]; then
rm -rf "pairs/.$2"; mkdir "pairs/.$2"
for each in fullchain.pem privkey.pem; do [ ! -e "$each" ] || cp -pL "$each" "pairs/.$2/"; done
mv "pairs/.$2" "pairs/$2"
fi
to live "pairs/$2"
fi
if [ -L live ] && [ "$(readlink live)" != "pairs/$1" ]; then to previous "$(readlink live)"; fi
[ ! -e live ] || {{ to privkey.pem live/privkey.pem; to fullchain.pem live/fullchain.pem; }}
to live "pairs/$1"
to privkey.pem live/privkey.pem
to fullchain.pem live/fullchain.pem
sync . || true"""
_BACK = f"""{_TO}[ -s "pairs/$1/fullchain.pem" ]; [ -s "pairs/$1/privkey.pem" ]
to live "pairs/$1"
if [ -n "$2" ]; then to previous "pairs/$2"; else rm -f previous; fi
sync . || true"""
_DISCARD = """cd /ssl/pairs 2>/dev/null || exit 0; for each; do
[ "$(readlink ../live)" = "pairs/$each" ] || [ "$(readlink ../previous)" = "pairs/$each" ] || rm -rf "./$each"; done"""
# What else the service finds beside its certificate it finds in the trial too; what cannot be read there, nginx names.
_TRY = """cd /new || exit 125; for each in * .[!.]*; do case "$each" in pairs|live|previous|fullchain.pem|privkey.pem) ;;
*) [ ! -e "$each" ] || cp -RL "$each" "$2/" 2>/dev/null || true;; esac; done
cp "pairs/$1/fullchain.pem" "pairs/$1/privkey.pem" "$2/" || exit 125; exec nginx -t -q -c "$3" """
_OF_DOCKER = 125
"""From here on the exit codes of `docker run` and of its shell say that nothing was tried."""


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
    """The volume of one platform; `image` is nginx's, in which all of it is done, and `user` whom nginx runs as. `others`
    are what else its service mounts, as `docker run` takes it."""

    docker: Docker
    volume: str
    image: str
    user: str
    others: tuple[str, ...] = ()

    def read(self) -> Held | None:
        """What is there; None where there is no certificate."""
        parts = self._run(_READ).split(b"\n", 4)
        if len(parts) < 5:
            return None
        live, previous, there, form = (line.decode() for line in parts[:4])
        live, previous = live.removeprefix("pairs/"), previous.removeprefix("pairs/")
        return Held(*_parts(parts[4]), live, previous, form == "plain", tuple(there.split()))

    def pair(self, identity: str) -> tuple[bytes, bytes]:
        """The chain and the key (b"": it has none) of a pair beside the one that is used.

        Raises:
            OperationFailed: it is not there.
        """
        return _parts(self._run(_PAIR, _checked(identity)))

    def place(self, identity: str, chain: bytes, key: bytes) -> None:
        """Put a pair beside the one that is used; no other has that name.

        Raises:
            OperationFailed: one has.
        """
        self._run(_PLACE, self.user, _checked(identity), stdin=chain.rstrip() + b"\n" + key)

    def switch(self, identity: str) -> None:
        """Let nginx find this pair from its next reload on, in one step."""
        self._run(_SWITCH, _checked(identity), f"before-{_checked(identity)}")

    def back(self, identity: str, previous: str) -> None:
        """Take a change over back: this pair is found again, and `previous` ('': none) was the one before it."""
        self._run(_BACK, _checked(identity), previous)

    def discard(self, identities: Sequence[str]) -> None:
        """Remove pairs; one that is used stays, and so does the one before."""
        if identities:
            self._run(_DISCARD, *identities)

    def tried(self, identity: str, site: Site) -> str:
        """What nginx says against a pair, in a container of its own and under its own user; '' where it takes it.

        Raises:
            OperationFailed: it could not be tried.
        """
        mounts = {site.path("run/nginx"): FOLDER, self.volume: "/new"}
        argv = self._argv(mounts, self.user, "--sysctl", "net.ipv4.ip_unprivileged_port_start=0")
        argv += tuple(word for each in self.others for word in ("--volume", each))
        argv += ("--tmpfs", f"{SSL_FOLDER}:mode=1777", "--tmpfs", "/tmp:mode=1777", self.image)  # noqa: S108 - in a container
        conf = f"{FOLDER}/live/nginx.conf"
        argv = (*argv, "sh", "-c", _TRY, "sh", _checked(identity), SSL_FOLDER, conf)
        done = self.docker.tried(argv)
        if done.code == 0:
            return ""
        if done.code >= _OF_DOCKER:
            raise self.docker.refused(("docker", "run", self.image), done)
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
    mounts = (service.definition.get("volumes") or ()) if service else ()
    for each in mounts:
        if each["target"] == SSL_FOLDER and each.get("source") in model.volumes and service:
            user = str(service.definition.get("user") or "0")
            others = tuple(_mounted(model, other) for other in mounts if _is_other(other))
            return CertificateVolume(docker, model.volumes[each["source"]], service.image, user, others)
    return None


def _is_other(mount: Mapping[str, Any]) -> bool:
    return mount["target"] not in (SSL_FOLDER, FOLDER) and mount.get("type") in ("volume", "bind") and "source" in mount


def _mounted(model: Model, mount: Mapping[str, Any]) -> str:
    """As the service has it, so that what it may write (a log) nginx can open in the trial too."""
    source = model.volumes.get(mount["source"], mount["source"]) if mount["type"] == "volume" else mount["source"]
    return f"{source}:{mount['target']}{':ro' if mount.get('read_only') else ''}"


def _parts(text: bytes) -> tuple[bytes, bytes]:
    """The chain, and the key behind it."""
    begins = _KEY_BEGINS.search(text)
    cut = begins.start() if begins else len(text)
    return text[:cut], text[cut:]


def _checked(identity: str) -> str:
    if not _ID.fullmatch(identity):
        raise OperationFailed(f"{identity[:60]!r} cannot be the name of a certificate's folder.")
    return identity
