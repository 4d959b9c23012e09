"""The variables of a platform: read from files, checked, written for compose. Pure."""

from __future__ import annotations

import hashlib
import hmac
import io
import re
from collections.abc import Iterable, Mapping
from string import Template

from dotenv import dotenv_values

from engine.errors import ConfigurationError
from engine.secrets import resolve

_SECRET = re.compile(
    r"(PASS(WORD|WD|PHRASE)?|(^|_)PWD?|SECRET|TOKEN|CREDENTIALS?|(^|_|API)KEY)(_?[0-9]+|_(OLD|NEW|PREVIOUS|PRIMARY|SECONDARY))?$"
)
_IN_ADDRESS = re.compile(r"://[^/\s:@]*:([^@\s/]+)@")
_PLACEHOLDER = re.compile(
    r"change.?me|placeholder|replace.?me|your[-_ ]|example-|<[^>]*>|^x{3,}$|^(.)\1*$", re.IGNORECASE
)
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_AMBIGUOUS = re.compile(r"\\\\|\\$|\\.*'|'.*\\|'.*\$|\$.*'", re.DOTALL)
LEAST = 16
"""Characters of a secret: 12 random bytes as base64 have 16 (NIST SP 800-63B asks for 15 where it stands alone)."""


def read(text: bytes, where: str) -> dict[str, str]:
    """The variables of a file, as they stand there: none is filled into another.

    Raises:
        ConfigurationError: it is no file of variables.
    """
    try:
        found = dotenv_values(stream=io.StringIO(text.decode("utf-8-sig")), interpolate=False)
    except UnicodeDecodeError:
        raise ConfigurationError(f"{where} is not UTF-8 text; correct it.") from None
    empty = [name for name, value in found.items() if value is None]
    if empty:
        raise ConfigurationError(f"{where}: a line begins with {empty[0][:20]!r} and has no `=`; write NAME=value.")
    odd = [name for name in found if not _NAME.fullmatch(name)]
    if odd:
        raise ConfigurationError(f"{where}: {odd[0][:20]!r} is no name of a variable; use letters, digits and _.")
    return {name: value for name, value in found.items() if value is not None}


def resolved(values: Mapping[str, str]) -> dict[str, str]:
    """The variables with each secret that is given by reference: `prefect:block-name`, `aws:name` or `file:/path`, on this
    machine.

    Raises:
        ConfigurationError: there is none.
    """
    given = ("prefect:", "aws:", "file:/")
    return {
        name: resolve(value) if is_secret(name) and value.startswith(given) else value for name, value in values.items()
    }


def require_strong(values: Mapping[str, str], where: str) -> None:
    """Each secret is there, is no placeholder, is long enough, and is used once only.

    Raises:
        ConfigurationError: one is not; the sentence names it and never its value.
    """
    owners: dict[str, str] = {}
    for name, value in values.items():
        if _PLACEHOLDER.search(value) and (is_secret(name) or "<" in value):
            raise ConfigurationError(f"{where}: {name} is still a placeholder; give it a value of your own.")
        if not is_secret(name):
            continue
        if len(value) < LEAST:
            raise ConfigurationError(
                f"{where}: {name} is {'empty' if not value else 'too short'}; give it {LEAST} characters or more "
                "(openssl rand -base64 24)."
            )
        if value in owners:
            raise ConfigurationError(f"{where}: {name} and {owners[value]} are the same secret; give each its own.")
        owners[value] = name


def is_secret(name: str) -> bool:
    """Whether a variable's name says that it is a secret."""
    return bool(_SECRET.search(name.upper()))


def secrets_of(values: Mapping[str, str]) -> frozenset[str]:
    """The values that must be shown nowhere."""
    own = {value for name, value in values.items() if is_secret(name)}
    in_addresses = {found for value in values.values() for found in _IN_ADDRESS.findall(value)}
    return frozenset(value for value in own | in_addresses if len(value) >= 4)


def as_file(values: Mapping[str, str], about: Iterable[str] = ()) -> bytes:
    """The variables as a file that compose and we read back as they are.

    Raises:
        ConfigurationError: a value cannot be written so; the sentence has its name only.
    """
    if odd := [name for name, value in values.items() if _AMBIGUOUS.search(value)]:
        raise ConfigurationError(
            f"The value of {odd[0]} has a backslash at its end, before another or beside a single quote, or both ' and $: "
            "compose and others read that differently; choose another."
        )
    lines = [*(f"# {line}" for line in about), *(f"{name}={_quoted(value)}" for name, value in values.items())]
    return ("\n".join(lines) + "\n").encode()


def _quoted(value: str) -> str:
    if re.fullmatch(r"[A-Za-z0-9_./:@+,=-]*", value):
        return value
    if "'" not in value:
        return f"'{value}'"
    escaped = value.replace("\\", "\\\\").replace('"', '\\"').replace("$", "\\$").replace("\n", "\\n")
    return f'"{escaped}"'


def marked(value: str, key: bytes) -> str:
    """What stands for a secret where people and other programs read: equal for equal secrets, on this host only."""
    return f"secret:{hmac.new(key, value.encode(), hashlib.sha256).hexdigest()[:8]}"


class _Capitals(Template):
    """`${NAME}` in capitals only: nginx's own variables are in small letters, and a bare $ is its end of a pattern."""

    flags = re.NOFLAG
    pattern = r"(?P<escaped>(?!))|\$\{(?P<braced>[A-Z][A-Z0-9_]*)\}|(?P<named>(?!))|(?P<invalid>(?!))"  # type: ignore[assignment]


def filled(text: str, values: Mapping[str, str], where: str) -> str:
    """A file of nginx with the variables it names.

    Raises:
        ConfigurationError: it names one that there is not, or a secret.
    """
    wanted = {match.group("braced") for match in _Capitals.pattern.finditer(text)} - {None}  # type: ignore[attr-defined]
    if missing := sorted(wanted - values.keys()):
        raise ConfigurationError(f"{where} uses ${{{missing[0]}}}, which no .env file sets; add it.")
    if secret := sorted(filter(is_secret, wanted)):
        raise ConfigurationError(f"{where} uses the secret ${{{secret[0]}}}; nginx's files are for everybody to read.")
    return _Capitals(text).substitute(values)
