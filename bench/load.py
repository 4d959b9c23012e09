"""Load on a platform, counted honestly: every request once, no retry, every failure with its reason.

HTTP/1.1 connections send one request after the other over TLS and keep alive; HTTP/2 connections have several streams
at once. Half of the requests are POSTs. A stream above the last one that a GOAWAY names was never looked at (RFC 9113,
section 6.8): every client repeats it by itself, so it is counted apart. A connection that the server closed in order
between two requests is opened again: a request that was sent on it and not answered is a failure.
"""

from __future__ import annotations

import asyncio
import ssl
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import h2.config
import h2.connection
import h2.events

BODY = b"x" * 512
_TIMEOUT_SECONDS = 90.0


@dataclass
class Counts:
    """What came of the requests. `unprocessed` are HTTP/2 streams above a GOAWAY's last one."""

    answered: int = 0
    unprocessed: int = 0
    failures: Counter[str] = field(default_factory=Counter)
    versions: Counter[str] = field(default_factory=Counter)
    first_seen: dict[str, float] = field(default_factory=dict)
    """By version, when (time.monotonic) a request that was begun on a new connection first got it."""

    @property
    def failed(self) -> int:
        return sum(self.failures.values())

    @property
    def sent(self) -> int:
        return self.answered + self.unprocessed + self.failed

    def add(self, status: int, version: str) -> None:
        if status == 200:
            self.answered += 1
            self.versions[version] += 1
        else:
            self.failures[f"status {status}"] += 1


@dataclass
class Load:
    """So many connections of each kind, so many requests a second in all, until `stop` is set."""

    url: str
    paths: tuple[str, ...]
    http1: int = 8
    http2: int = 4
    per_second: float = 400.0
    counts: Counts = field(default_factory=Counts)
    by_protocol: dict[str, Counts] = field(default_factory=lambda: {"HTTP/1.1": Counts(), "HTTP/2": Counts()})

    async def run(self, stop: asyncio.Event) -> None:
        lanes = self.http1 + self.http2
        pause = lanes / self.per_second
        async with asyncio.TaskGroup() as group:
            for number in range(self.http1):
                group.create_task(self._http1(number, stop, pause))
            for number in range(self.http2):
                group.create_task(self._http2(number, stop, pause))

    async def _http1(self, number: int, stop: asyncio.Event, pause: float) -> None:
        counts, connection, turn = self.by_protocol["HTTP/1.1"], None, number
        while not stop.is_set():
            began = time.monotonic()
            turn += 1
            path, post = self.paths[turn % len(self.paths)], turn % 2 == 0
            try:
                if connection is None or connection[0].at_eof():
                    if connection is not None:
                        await _close(connection[1])
                    connection = await self._open("http/1.1")
                async with asyncio.timeout(_TIMEOUT_SECONDS):
                    status, version, goes_on = await _one(*connection, self._host, path, post)
                counts.add(status, version)
                if not goes_on:
                    await _close(connection[1])
                    connection = None
            except (OSError, EOFError, TimeoutError, ValueError) as error:
                counts.failures[f"{type(error).__name__} {'POST' if post else 'GET'}"] += 1
                if connection is not None:
                    await _close(connection[1])
                connection = None
            await asyncio.sleep(max(0.0, pause - (time.monotonic() - began)))
        if connection is not None:
            await _close(connection[1])

    async def _http2(self, number: int, stop: asyncio.Event, pause: float) -> None:
        counts, turn = self.by_protocol["HTTP/2"], number
        while not stop.is_set():
            try:
                reader, writer = await self._open("h2")
            except OSError as error:
                counts.failures[f"{type(error).__name__} connecting"] += 1
                await asyncio.sleep(pause)
                continue
            streams = _Streams(reader, writer, counts)
            reading = asyncio.create_task(streams.read())
            while not stop.is_set() and streams.usable:
                began = time.monotonic()
                turn += 1
                await streams.send(self._host, self.paths[turn % len(self.paths)], turn % 2 == 0)
                await asyncio.sleep(max(0.0, pause - (time.monotonic() - began)))
            await streams.finish(reading)

    @property
    def _host(self) -> str:
        return urlsplit(self.url).netloc

    async def _open(self, protocol: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        parts = urlsplit(self.url)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        context.set_alpn_protocols([protocol])
        return await asyncio.open_connection(parts.hostname, parts.port, ssl=context)


async def _one(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, host: str, path: str, post: bool
) -> tuple[int, str, bool]:
    """One request of HTTP/1.1: its status, the version that answered, whether the connection goes on."""
    body = BODY if post else b""
    head = f"{'POST' if post else 'GET'} {path} HTTP/1.1\r\nHost: {host}\r\nContent-Length: {len(body)}\r\n\r\n"
    writer.write(head.encode() + body)
    await writer.drain()
    lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin1").split("\r\n")
    fields = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])}
    await reader.readexactly(int(fields["content-length"]))
    return int(lines[0].split()[1]), fields.get("x-version", ""), fields.get("connection", "").lower() != "close"


async def _close(writer: asyncio.StreamWriter) -> None:
    """Close a connection, and do not wait for a server that says nothing."""
    writer.close()
    with suppress(OSError, TimeoutError):
        async with asyncio.timeout(2):
            await writer.wait_closed()


class _Streams:
    """The streams of one HTTP/2 connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, counts: Counts) -> None:
        self.reader, self.writer, self.counts = reader, writer, counts
        self.h2 = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True))
        self.h2.initiate_connection()
        self.usable, self._open, self._last = True, dict[int, tuple[int, str]](), -1
        self._flush()

    def _flush(self) -> None:
        if data := self.h2.data_to_send():
            self.writer.write(data)

    async def send(self, host: str, path: str, post: bool) -> None:
        stream = self.h2.get_next_available_stream_id()
        fields = [(":method", "POST" if post else "GET"), (":authority", host), (":scheme", "https"), (":path", path)]
        self._open[stream] = (0, "")
        self.h2.send_headers(stream, fields, end_stream=not post)
        if post:
            self.h2.send_data(stream, BODY, end_stream=True)
        self._flush()
        try:
            await self.writer.drain()
        except OSError:
            self.usable = False

    async def read(self) -> None:
        try:
            while data := await self.reader.read(65536):
                for event in _events(self.h2, data, self):
                    self._took(event)
                self._flush()
        except OSError:
            pass
        self.usable = False

    def _took(self, event: h2.events.Event) -> None:
        if isinstance(event, h2.events.ResponseReceived) and event.stream_id in self._open:
            found = {str(_text(name)): str(_text(value)) for name, value in event.headers or []}
            self._open[event.stream_id] = (int(found[":status"]), found.get("x-version", ""))
        elif isinstance(event, h2.events.DataReceived):
            self.h2.acknowledge_received_data(event.flow_controlled_length or 0, event.stream_id or 0)
        elif isinstance(event, h2.events.StreamEnded) and event.stream_id in self._open:
            self.counts.add(*self._open.pop(event.stream_id))
        elif isinstance(event, h2.events.StreamReset) and event.stream_id in self._open:
            del self._open[event.stream_id]
            refused = event.error_code == 7  # REFUSED_STREAM: not processed (RFC 9113, section 8.7)
            if refused:
                self.counts.unprocessed += 1
            else:
                self.counts.failures[f"reset {event.error_code}"] += 1

    def goaway(self, last: int) -> None:
        """No new stream on this connection; those above `last` were not processed."""
        self.usable, self._last = False, last
        for stream in [each for each in self._open if each > last]:
            del self._open[stream]
            self.counts.unprocessed += 1

    async def finish(self, reading: asyncio.Task[None]) -> None:
        """Wait for what is open, then close."""
        deadline = time.monotonic() + _TIMEOUT_SECONDS
        while self._open and not reading.done() and time.monotonic() < deadline:
            await asyncio.sleep(0.01)
        for stream in self._open:
            if 0 <= self._last < stream:
                self.counts.unprocessed += 1
            else:
                self.counts.failures["HTTP/2 connection closed"] += 1
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)
        await _close(self.writer)


def _events(connection: h2.connection.H2Connection, data: bytes, streams: _Streams) -> list[h2.events.Event]:
    """What arrived. After a GOAWAY the library takes nothing more, though answers still come: so it is taken out."""
    found: list[h2.events.Event] = []
    streams_data = getattr(streams, "rest", b"") + data
    while len(streams_data) >= 9:
        length = int.from_bytes(streams_data[:3], "big")
        if len(streams_data) < 9 + length:
            break
        frame, streams_data = streams_data[: 9 + length], streams_data[9 + length :]
        if frame[3] == 7:  # GOAWAY
            streams.goaway(int.from_bytes(frame[9:13], "big") & 0x7FFFFFFF)
        else:
            found += connection.receive_data(frame)
    streams.rest = streams_data  # type: ignore[attr-defined]
    return found


def _text(value: bytes | str) -> str:
    return value.decode("latin1") if isinstance(value, bytes) else value
