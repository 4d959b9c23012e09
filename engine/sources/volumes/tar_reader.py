"""Reads a tar stream as it passes: what is in it, and nothing that would reach out of where it is unpacked.

The format is POSIX.1-2001's (pax) as GNU tar writes it, with GNU's long names and its sparse files 1.0 (the tar manual,
"Basic Tar Format", "Storing Sparse Files"; star's SCHILY.xattr and SCHILY.acl). Memory does not grow with the archive, but
for a number for each symbolic link where an archive is not trusted.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Iterator
from decimal import Decimal

from engine.errors import DamagedSet
from engine.sources.volumes.tree import ROOT, Entry

BLOCK = 512
_ZEROS = bytes(BLOCK)
_TYPES = {b"0": "file", b"\0": "file", b"7": "file", b"1": "hardlink", b"2": "symlink", b"5": "folder", b"6": "fifo",
          b"3": "device", b"4": "device"}  # fmt: skip
_HEAD_LIMIT = 1 << 20
"""Bytes of a pax header: names, links and attributes of one thing."""
_SQLITE = b"SQLite format 3\0"
_TIME = re.compile(rb"-?[0-9]{1,20}(\.[0-9]*)?")
_HOLE = bytes(1 << 20)
Pax = dict[str, bytes]


class HostileMember(DamagedSet):
    """A member that would reach out of the folder it is unpacked in, or that no volume of ours has."""


class _Stream:
    """Bytes by number, from pieces of any size. `position` counts what was taken."""

    def __init__(self, pieces: Iterable[bytes]) -> None:
        self._pieces = iter(pieces)
        self._rest = memoryview(b"")
        self.position = 0

    def passing(self, count: int) -> Iterator[memoryview]:
        """The next bytes, as they come."""
        while count:
            if not self._rest:
                self._rest = memoryview(next(self._pieces, b""))
                if not self._rest:
                    raise DamagedSet("The archive of a volume ends too early.")
            piece = self._rest[:count]
            self._rest = self._rest[len(piece) :]
            self.position += len(piece)
            count -= len(piece)
            yield piece

    def take(self, count: int) -> bytes:
        if len(self._rest) >= count:
            found = bytes(self._rest[:count])
            self._rest = self._rest[count:]
            self.position += count
            return found
        return b"".join(self.passing(count))

    def rest_is_empty(self) -> bool:
        """Whether nothing but zeros is left; all of it is taken."""
        clean = not any(self._rest)
        for piece in self._pieces:
            clean = clean and not any(piece)
        return clean


class TarReader:
    """The things of one archive, and where they end: `end` counts the bytes before the marker of its end (None: it has
    not been seen)."""

    def __init__(
        self, pieces: Iterable[bytes], *, trusted: bool = False, alive: Callable[[], None] = lambda: None
    ) -> None:
        """`trusted`: it is of a real tree, where nothing is behind a link. `alive` is called in a long hole, where no byte
        comes."""
        self._stream = _Stream(pieces)
        self._trusted, self._alive = trusted, alive
        self.end: int | None = None

    def entries(self) -> Iterator[tuple[Entry, int]]:
        """Each thing with its ctime (ns; 0: not told), once all of it has passed.

        Raises:
            HostileMember: one would reach out; none of its bytes has been asked for then.
            DamagedSet: it is no such archive, or ends too early.
        """
        links: set[int] = set()
        while (head := self._head()) is not None:
            header, pax = head
            entry, stored = _entry(header, pax)
            _refuse(entry, links)
            if entry.type == "symlink" and not self._trusted:
                links.add(hash(entry.path))
            if entry.type == "file":
                entry = self._with_contents(entry, stored, pax)
            yield entry, _nanoseconds(pax.get("ctime", b"0"))
        if not self._stream.rest_is_empty():
            raise HostileMember("Something follows the end of the archive.")

    def _head(self) -> tuple[bytes, Pax] | None:
        """The next member's header, with what pax and GNU headers before it say; None at the end."""
        pax: Pax = {}
        long: Pax = {}
        while True:
            before = self._stream.position
            header = self._stream.take(BLOCK)
            if header == _ZEROS:
                self.end = before
                return None
            _check(header)
            kind = header[156:157]
            if kind == b"g":
                raise HostileMember("The archive holds a global header, which says something of all that follows.")
            if kind not in b"xLK":
                return header, {**long, **pax}  # tar takes pax, in whichever order they come
            size = _number(header[124:136])
            if not 0 <= size <= _HEAD_LIMIT:
                raise DamagedSet(f"A header of the archive has {size} bytes.")
            text = self._stream.take(_padded(size))[:size]
            if kind == b"x":
                pax.update(_pax(text))
            else:
                long["path" if kind == b"L" else "linkpath"] = text.rstrip(b"\0")

    def _with_contents(self, entry: Entry, stored: int, pax: Pax) -> Entry:
        digest, begins = hashlib.sha256(), b""
        pieces = self._sparse(entry.size, stored) if "GNU.sparse.major" in pax else self._stream.passing(stored)
        size = 0
        for piece in pieces:
            if size < len(_SQLITE):
                begins += bytes(piece[: len(_SQLITE)])
            size += len(piece)
            digest.update(piece)
        if "GNU.sparse.major" not in pax:
            self._stream.take(_padded(stored) - stored)
        return entry._replace(sha256=digest.hexdigest(), database=begins.startswith(_SQLITE))

    def _sparse(self, size: int, stored: int) -> Iterator[bytes | memoryview]:
        """The whole contents of a sparse file: a map of what is there, and then that, without the holes."""
        end = self._stream.position + stored
        numbers = self._map(end)
        at = 0
        for offset, length in zip(numbers[0::2], numbers[1::2], strict=True):
            if offset < at or length < 0 or offset + length > size:
                raise DamagedSet("The archive has a sparse file whose map is wrong.")
            yield from self._holes(offset - at)
            yield from self._stream.passing(length)
            at = offset + length
        yield from self._holes(size - at)
        left = end - self._stream.position
        if left < 0:
            raise DamagedSet("The archive has a sparse file whose map is wrong.")
        self._stream.take(left + _padded(stored) - stored)

    def _map(self, end: int) -> list[int]:
        """Decimal numbers, one a line: how many pieces, then each one's offset and length; filled up to a whole block."""
        blocks = [self._stream.take(BLOCK)]
        wanted = 1 + 2 * _whole(blocks[0].partition(b"\n")[0])
        if not 0 < wanted <= end - self._stream.position + BLOCK:
            raise DamagedSet("The archive has a sparse file whose map is wrong.")
        lines = blocks[0].count(b"\n")
        while lines < wanted:
            if self._stream.position >= end:
                raise DamagedSet("The archive has a sparse file whose map is too short.")
            blocks.append(self._stream.take(BLOCK))
            lines += blocks[-1].count(b"\n")
        return [_whole(word) for word in b"".join(blocks).split(b"\n", wanted)[1:wanted]]

    def _holes(self, count: int) -> Iterator[memoryview]:
        while count > 0:
            yield memoryview(_HOLE)[:count]
            count -= len(_HOLE)
            self._alive()


def _whole(word: bytes) -> int:
    try:
        return int(word)
    except ValueError:
        raise DamagedSet("The archive has a sparse file whose map is no map.") from None


def _padded(size: int) -> int:
    return -(-size // BLOCK) * BLOCK


def _check(header: bytes) -> None:
    expected = sum(header) - sum(header[148:156]) + 8 * 32
    if _number(header[148:156]) != expected:
        raise DamagedSet("The archive of a volume is damaged: a header's sum is wrong.")


def _number(field: bytes) -> int:
    if field[0] in (0x80, 0xFF):  # base 256, for what is too large for octal digits
        return int.from_bytes(field[1:], "big") - (1 << 8 * (len(field) - 1) if field[0] == 0xFF else 0)
    try:
        return int(field.strip(b" \0") or b"0", 8)
    except ValueError:
        raise DamagedSet("The archive of a volume is damaged: a header holds no number.") from None


def _pax(text: bytes) -> Pax:
    """Records `LENGTH KEY=VALUE\\n`; a value may hold anything."""
    found: Pax = {}
    at = 0
    while at < len(text):
        space = text.find(b" ", at, at + 20)
        try:
            end = at + int(text[at:space])
        except ValueError:
            raise DamagedSet("The archive of a volume is damaged: a pax header is none.") from None
        key, equals, value = text[space + 1 : end - 1].partition(b"=")
        if end <= space or end > len(text) or not equals:
            raise DamagedSet("The archive of a volume is damaged: a pax header is none.")
        found[key.decode("utf8", "surrogateescape")] = value
        at = end
    return found


def _text(value: bytes) -> str:
    return value.decode("utf8", "surrogateescape")


def _entry(header: bytes, pax: Pax) -> tuple[Entry, int]:
    """What a member is, and how many bytes of the archive it has."""
    kind = _TYPES.get(header[156:157], "unknown")
    name = pax.get("GNU.sparse.name") or pax.get("path") or _name(header)
    link = pax.get("linkpath") or header[157:257].rstrip(b"\0")
    stored = _decimal(pax, "size", header[124:136])
    size = _decimal(pax, "GNU.sparse.realsize", b"") if "GNU.sparse.major" in pax else stored
    is_file = kind == "file"
    mtime = pax.get("mtime")
    entry = Entry(
        path=_plain(_text(name)),
        type=kind,
        mode=_number(header[100:108]) & 0o7777,
        uid=_decimal(pax, "uid", header[108:116]),
        gid=_decimal(pax, "gid", header[116:124]),
        size=size if is_file else 0,
        mtime=_nanoseconds(mtime) if mtime else _number(header[136:148]) * 10**9,
        link=_plain(_text(link)) if kind == "hardlink" else _text(link) if kind == "symlink" else "",
        xattrs=tuple(sorted((key, value.decode("latin1")) for key, value in pax.items() if key.startswith("SCHILY.")))
        if len(pax) > 2
        else (),
    )
    return entry, stored if is_file else 0


def _name(header: bytes) -> bytes:
    name, prefix = header[:100].partition(b"\0")[0], header[345:500].partition(b"\0")[0]
    return prefix + b"/" + name if prefix and header[257:263] == b"ustar\0" else name


def _plain(path: str) -> str:
    """As the proof has it: without `./` and the slash of a folder."""
    if path in (".", "./"):
        return ROOT
    return path.removeprefix("./").rstrip("/") or path


def _decimal(pax: Pax, key: str, field: bytes) -> int:
    value = pax.get(key)
    try:
        number = _number(field) if value is None else int(value)
    except ValueError:
        number = -1
    if number < 0:
        raise DamagedSet(f"The archive of a volume is damaged: {key} is no number.")
    return number


def _nanoseconds(text: bytes) -> int:
    if not _TIME.fullmatch(text):
        raise DamagedSet("The archive of a volume is damaged: a time is none.")
    whole, _, part = text.partition(b".")
    if not whole.startswith(b"-"):
        return int(whole) * 10**9 + int(part[:9].ljust(9, b"0"))
    return int(Decimal(text.decode("ascii")) * 10**9)


def _refuse(entry: Entry, links: set[int]) -> None:
    """What reaches out of the folder it is unpacked in, by its own name, by a link, or through one; what spells its name
    as tar does not, since it might be another's.

    Raises:
        HostileMember: this one does.
    """
    if entry.type in ("device", "unknown"):
        raise HostileMember(f"The archive holds {entry.path!r}, which is a {entry.type}: it is not unpacked.")
    for path in (entry.path, entry.link) if entry.type == "hardlink" else (entry.path,):
        if path != ROOT and ("\0" in path or not {"", ".", ".."}.isdisjoint(path.split("/"))):
            raise HostileMember(f"The archive holds {entry.path!r} ({path!r}), which leads out: it is not unpacked.")
        if links and _below(path, links):
            raise HostileMember(f"The archive holds {path!r} behind a symbolic link: it is not unpacked.")


def _below(path: str, links: set[int]) -> bool:
    at = path.find("/")
    while at > 0:
        if hash(path[:at]) in links:
            return True
        at = path.find("/", at + 1)
    return False


def leads_out(entry: Entry) -> bool:
    """Whether a symbolic link leads out of the volume. A service may have one; a set's manifest counts them."""
    if entry.type != "symlink":
        return False
    if entry.link.startswith("/"):
        return True
    depth = entry.path.count("/")
    for word in entry.link.split("/"):
        depth += -1 if word == ".." else 0 if word in ("", ".") else 1
        if depth < 0:
            return True
    return False
