"""Keys of SSH: the private one we come with, and the host keys we accept."""

from __future__ import annotations

import base64
import hashlib
import io
from pathlib import Path
from typing import NoReturn

import paramiko

from engine.errors import ConfigurationError

_KINDS: tuple[type[paramiko.PKey], ...] = (paramiko.Ed25519Key, paramiko.ECDSAKey, paramiko.RSAKey)
_USUAL = ("~/.ssh/known_hosts", "/etc/ssh/ssh_known_hosts")


def private_key(text: str, reference: str) -> paramiko.PKey:
    """The key in `text` (OpenSSH or PEM); `reference` says in errors where it came from.

    Raises:
        ConfigurationError: it is none, or it has a passphrase (the agent is for those).
    """
    text = text if text.endswith("\n") else text + "\n"  # a reference drops the last line break
    for kind in _KINDS:
        try:
            return kind.from_private_key(io.StringIO(text))
        except paramiko.PasswordRequiredException:
            raise ConfigurationError(
                f"The SSH key {reference} has a passphrase; load it into ssh-agent and leave ssh_key out, "
                "or give one without."
            ) from None
        except (paramiko.SSHException, ValueError):
            continue
    raise ConfigurationError(f"{reference} is no SSH private key (Ed25519, ECDSA or RSA); correct ssh_key.")


class RefuseUnknown(paramiko.RejectPolicy):
    """Refuse a host whose key is not known, and say what to compare."""

    def __init__(self, file: str) -> None:
        self._file = file or _USUAL[0]

    def missing_host_key(self, client: paramiko.SSHClient, hostname: str, key: paramiko.PKey) -> NoReturn:
        raise ConfigurationError(
            f"The SSH host key of {hostname} ({key.get_name()} {fingerprint(key)}) is not in {self._file}; "
            "compare it with the host's own (`ssh-keygen -lf` there) and add it with `ssh-keyscan`."
        )


def fingerprint(key: paramiko.PKey) -> str:
    """As OpenSSH shows it: `SHA256:...`."""
    return "SHA256:" + base64.b64encode(hashlib.sha256(key.asbytes()).digest()).decode().rstrip("=")


def known_host_keys(client: paramiko.SSHClient, file: str) -> None:
    """Let `client` accept the host keys in `file`, or in the usual files when it is ''.

    Raises:
        ConfigurationError: the file cannot be read.
    """
    for name in (file,) if file else _USUAL:
        path = Path(name).expanduser()
        if not file and not path.exists():
            continue
        try:
            client.load_system_host_keys(str(path))
        except (OSError, paramiko.SSHException, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else error
            raise ConfigurationError(
                f"The known_hosts file {path} cannot be read: {reason}; correct it or ssh_known_hosts."
            ) from None
