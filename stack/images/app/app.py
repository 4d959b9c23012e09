"""A stand-in for an application of the platform: kohub and KustHub are private, and so is the console behind /terminal/.

It honours the same contract: a port, `/actuator/health`, `/version`, a graceful stop, WebSockets. Switches in its
environment (APP_FAULT) make each kind of bad release. `python3 app.py migrate` is its database migration.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from pathlib import Path

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

BUILD = json.loads(Path(__file__).with_name("build.json").read_text(encoding="utf8"))
"""What the image was built as: name, version, fault."""
FAULT = os.environ.get("APP_FAULT", "") or BUILD["fault"]
"""never-healthy, crashes, wrong-version, failing-migration, failing-smoke, slow-start, or nothing."""
STARTED = time.monotonic()
SLOW_START_SECONDS = 20.0
CRASH_SECONDS = 1.0
"""After its health was first asked for and good."""
LONGEST_SECONDS = 60.0
crashing: list[asyncio.Task[None]] = []


async def health(request: Request) -> Response:
    del request
    age = time.monotonic() - STARTED
    if FAULT == "crashes" and not crashing:
        crashing.append(asyncio.create_task(crash_later()))
    up = FAULT != "never-healthy" and not (FAULT == "slow-start" and age < SLOW_START_SECONDS)
    return JSONResponse({"status": "UP" if up else "DOWN"}, status_code=200 if up else 503)


async def version(request: Request) -> Response:
    del request
    shown = "0.0.0-wrong" if FAULT == "wrong-version" else BUILD["version"]
    return JSONResponse({"name": BUILD["name"], "version": shown})


async def slow(request: Request) -> Response:
    """Answers after `seconds`, like a report that takes a while."""
    await asyncio.sleep(min(float(request.query_params.get("seconds", "1")), LONGEST_SECONDS))
    return JSONResponse({"version": BUILD["version"]})


async def anything(request: Request) -> Response:
    """Every other page: the version, and how many bytes came with the request."""
    if FAULT == "failing-smoke":
        return PlainTextResponse("This release answers nobody.\n", status_code=500)
    body = await request.body()
    answer = {"name": BUILD["name"], "version": BUILD["version"], "path": request.url.path, "bytes": len(body)}
    return JSONResponse(answer, headers={"X-Version": BUILD["version"]})


async def echo(websocket: WebSocket) -> None:
    """Gives back each message."""
    await websocket.accept()
    try:
        while True:
            await websocket.send_text(await websocket.receive_text())
    except WebSocketDisconnect:
        pass


async def crash_later() -> None:
    await asyncio.sleep(CRASH_SECONDS)
    print("OutOfMemoryError: this release crashes after it was healthy", file=sys.stderr, flush=True)
    os._exit(3)


async def serve() -> None:
    methods = ["GET", "POST", "PUT", "DELETE"]
    application = Starlette(
        routes=[
            Route("/actuator/health", health),
            Route("/version", version),
            Route("/slow", slow, methods=methods),
            Route("/{rest:path}/slow", slow, methods=methods),
            WebSocketRoute("/{rest:path}", echo),
            Route("/{rest:path}", anything, methods=methods),
        ]
    )
    # Connections to nginx stay open longer than nginx keeps them (60 s): the one that sends closes.
    config = uvicorn.Config(
        application,
        host="0.0.0.0",
        port=int(os.environ.get("APP_PORT", "8080")),
        access_log=False,
        timeout_keep_alive=75,
        timeout_graceful_shutdown=60,
        log_level="warning",
    )
    print(f"{BUILD['name']} {BUILD['version']} listens on {config.port}", flush=True)
    await uvicorn.Server(config).serve()


def migrate() -> int:
    """The migration that the image brings; it must be able to run twice."""
    if FAULT == "failing-migration":
        print('ERROR: relation "ticket" does not exist', file=sys.stderr)
        return 1
    print(f"migrated to {BUILD['version']}")
    return 0


if __name__ == "__main__":
    if sys.argv[1:] == ["migrate"]:
        sys.exit(migrate())
    asyncio.run(serve())
