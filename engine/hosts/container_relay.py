"""An exec in a container as a connection to what listens there."""

from __future__ import annotations

from engine.errors import ConfigurationError, PlatformOpsError, TransientFailure
from engine.hosts.endpoints import Endpoint
from engine.hosts.exec_channel import ExecStream
from engine.hosts.shell import NO_RELAY


class Relay:
    """How the exec ended becomes the reason of a failure; `where` is the container, for people."""

    def __init__(self, stream: ExecStream, where: str, endpoint: Endpoint) -> None:
        self._stream, self._where, self._endpoint = stream, where, endpoint
        self._began = False

    def recv(self, size: int, /) -> bytes:
        data = self._stream.recv(size)
        if not data and not self._began:
            raise self._problem(self._stream.final_code())
        self._began = True
        return data

    def sendall(self, data: bytes, /) -> None:
        self._stream.send(data)

    def shutdown_write(self) -> None:
        self._stream.end_stdin()

    def close(self) -> None:
        self._stream.close()

    def _problem(self, code: int) -> PlatformOpsError:
        if code in (NO_RELAY, 126, 127):
            return ConfigurationError(
                f"The {self._where} has no sh with perl or nc to relay to {self._endpoint}; let its server listen on "
                'the container\'s network and configure a password, or publish its port and use where = "local".'
            )
        return TransientFailure(
            f"No server answers at {self._endpoint} in {self._where}; check that it runs and its address."
        )
