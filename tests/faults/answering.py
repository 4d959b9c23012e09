"""Small servers on 127.0.0.1 that answer in PostgreSQL's place, each wrong in its own way."""

from __future__ import annotations

import select
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

Talk = Callable[[socket.socket], None]
_SSL_REQUEST = 80877103


@contextmanager
def answering(talk: Talk) -> Iterator[int]:
    """Every connection is handed to `talk` in a thread of its own; the port."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(0.1)
        over = threading.Event()
        thread = threading.Thread(target=_accept, args=(listener, talk, over))
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            over.set()
            thread.join()


def _accept(listener: socket.socket, talk: Talk, over: threading.Event) -> None:
    while not over.is_set():
        with suppress(TimeoutError):
            connection, _ = listener.accept()
            threading.Thread(target=_talk, args=(connection, talk), daemon=True).start()


def _talk(connection: socket.socket, talk: Talk) -> None:
    connection.settimeout(10)
    with connection, suppress(OSError):
        talk(connection)


def web_server(connection: socket.socket) -> None:
    """What a web server says to what is no request."""
    connection.recv(1024)
    connection.sendall(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")


def strict_pooler(connection: socket.socket) -> None:
    """PgBouncer as it comes: a start-up with `options` is refused."""
    _start_up(connection)
    fields = b"SFATAL\0VFATAL\0C08P01\0Munsupported startup parameter: options\0\0"
    connection.sendall(b"E" + struct.pack("!i", len(fields) + 4) + fields)


def lenient_pooler(socket_path: str) -> Talk:
    """A pooler told to ignore `options`: the session behind it is not the one it speaks of."""

    def talk(connection: socket.socket) -> None:
        start = _start_up(connection)
        with socket.socket(socket.AF_UNIX) as server:
            server.connect(socket_path)
            server.sendall(start)
            while (message := _message(server))[:1] != b"Z":
                if message[:1] == b"K":
                    message = message[:5] + struct.pack("!i", 4242) + message[9:]
                connection.sendall(message)
            connection.sendall(message)
            threading.Thread(target=_copy, args=(server, connection), daemon=True).start()
            _copy(connection, server)

    return talk


def tls_server(folder: Path, ends: timedelta) -> Talk:
    """A server whose certificate (`folder`/server.pem) ends so long from now."""
    context = _tls_of(folder, ends)

    def talk(connection: socket.socket) -> None:
        connection.recv(8)
        connection.sendall(b"S")
        with context.wrap_socket(connection, server_side=True) as encrypted:
            encrypted.recv(1024)

    return talk


def tls_before(socket_path: str, folder: Path) -> Talk:
    """A server that offers TLS, and takes who does not want it: the one behind this socket."""
    context = _tls_of(folder, timedelta(days=30))

    def talk(connection: socket.socket) -> None:
        with socket.socket(socket.AF_UNIX) as server:
            server.connect(socket_path)
            head = _exactly(connection, 8)
            if struct.unpack("!ii", head)[1] != _SSL_REQUEST:
                server.sendall(head)
                threading.Thread(target=_copy, args=(server, connection), daemon=True).start()
                return _copy(connection, server)
            connection.sendall(b"S")
            with context.wrap_socket(connection, server_side=True) as encrypted:
                return _both_ways(encrypted, server)

    return talk


def _both_ways(encrypted: ssl.SSLSocket, server: socket.socket) -> None:
    """In one thread: OpenSSL's sessions are not made for two."""
    while True:
        ready = [encrypted] if encrypted.pending() else select.select([encrypted, server], [], [])[0]
        for source in ready:
            piece = source.recv(1 << 16)
            if not piece:
                return
            (server if source is encrypted else encrypted).sendall(piece)


def _start_up(connection: socket.socket) -> bytes:
    """The start-up message; a question for TLS before it is answered with no."""
    while True:
        head = _exactly(connection, 8)
        length, code = struct.unpack("!ii", head)
        if code != _SSL_REQUEST:
            return head + _exactly(connection, length - 8)
        connection.sendall(b"N")


def _message(connection: socket.socket) -> bytes:
    head = _exactly(connection, 5)
    return head + _exactly(connection, struct.unpack("!i", head[1:])[0] - 4)


def _exactly(connection: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        piece = connection.recv(count - len(data))
        if not piece:
            raise ConnectionError
        data += piece
    return data


def _copy(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while piece := source.recv(1 << 16):
            target.sendall(piece)


def _tls_of(folder: Path, ends: timedelta) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(_certificate(folder, ends), folder / "server.key")
    return context


def _certificate(folder: Path, ends: timedelta) -> Path:
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=60))
        .not_valid_after(now + ends)
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    plain = serialization.NoEncryption()
    path = folder / "server.pem"
    path.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    (folder / "server.key").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain)
    )
    return path
