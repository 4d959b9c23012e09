"""Run a program in a container, as `kubectl exec` does."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from engine.errors import OperationFailed
from engine.kubernetes.connection import Connection

_STATUS_CHANNEL = 3
_OUTPUT = 100_000
"""So many letters are kept of what it wrote, the last ones."""


@dataclass(frozen=True)
class Executed:
    """What a program in a pod came to. `output` is what it wrote, both streams."""

    exit_code: int
    output: str


def execute(connection: Connection, pod: str, argv: Sequence[str], timeout: float = 30.0) -> Executed:
    """Run a program in the pod's first container.

    Raises:
        OperationFailed: it does not end within `timeout` seconds, cannot be run, or its session was lost.
    """
    from kubernetes.client import CoreV1Api
    from kubernetes.client.exceptions import ApiException
    from kubernetes.stream import stream
    from websocket import WebSocketException

    # A client of its own: the websocket takes the place of its transport, and a heartbeat may use ours meanwhile.
    call = CoreV1Api(connection.new_client()).connect_get_namespaced_pod_exec
    streams = {"stderr": True, "stdin": False, "stdout": True, "tty": False, "_preload_content": False}
    try:
        session = stream(call, pod, connection.namespace, command=list(argv), **streams)
        try:
            session.run_forever(timeout=timeout)
            if session.is_open():
                raise OperationFailed(f"{argv[0]} in {pod} did not end within {timeout:g} s.")
            code = _code(session, pod)  # before the output: reading all of that throws the rest away
            return Executed(code, session.read_all()[-_OUTPUT:])
        finally:
            with suppress(WebSocketException, OSError):
                session.close()
            session.sock.shutdown()  # a socket that the server has closed is not by `close`
    except ApiException as error:
        raise OperationFailed(f"{argv[0]} could not be run in {pod}: {_handshake(error)}") from None
    except (WebSocketException, OSError) as error:
        why = str(error) or type(error).__name__
        raise OperationFailed(f"The session in {pod} was lost while {argv[0]} ran: {why}") from None


def _code(session: Any, pod: str) -> int:
    """The exit code, from the status that ends a session (its third channel).

    Raises:
        OperationFailed: nothing was run: the container is not there, or not any more.
    """
    try:
        status = json.loads(session.read_channel(_STATUS_CHANNEL))
        if status["status"] == "Success":
            return 0
        if status.get("reason") == "NonZeroExitCode":
            return int(status["details"]["causes"][0]["message"])
        raise OperationFailed(f"Nothing could be run in {pod}: {status.get('message', 'no reason was given')}")
    except (ValueError, KeyError, TypeError):
        raise OperationFailed(f"What was run in {pod} was cut off: it ended without an exit code.") from None


def _handshake(error: Any) -> str:
    with suppress(AttributeError, TypeError):
        return str(error.reason).partition("\n")[0][:300]
    return "it was refused"
