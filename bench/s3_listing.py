"""As much of S3 as listing a bucket needs, counting requests: a real one with 500,000 keys takes long to fill."""

from __future__ import annotations

import threading
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from urllib.parse import parse_qs, urlsplit

_PAGE = 1000
_XML = '<?xml version="1.0" encoding="UTF-8"?>\n'
_NAMESPACE = 'xmlns="http://s3.amazonaws.com/doc/2006-03-01/"'


class CountingServer:
    """Serves ListObjectsV2 over sorted keys, takes every write and deletion, and counts what it is asked."""

    def __init__(self, keys: Sequence[str], modified: datetime) -> None:
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self, keys, f"{modified:%Y-%m-%dT%H:%M:%S.000Z}"))
        self._http.daemon_threads = True
        self._count = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._http.server_address[1]}"

    def add(self) -> None:
        self._count += 1

    def take_count(self) -> int:
        """Requests since the last time this was asked."""
        count, self._count = self._count, 0
        return count

    def __enter__(self) -> CountingServer:
        threading.Thread(target=self._http.serve_forever, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._http.shutdown()
        self._http.server_close()


def _handler(owner: CountingServer, keys: Sequence[str], modified: str) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            owner.add()
            query = parse_qs(urlsplit(self.path).query)
            if "list-type" in query:
                self._answer(200, _page(keys, query, modified))
            else:
                self._answer(404, "<Error><Code>NoSuchKey</Code><Message>none</Message></Error>")

        def do_POST(self) -> None:
            owner.add()
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            self._answer(200, f"<DeleteResult {_NAMESPACE}></DeleteResult>")

        def do_PUT(self) -> None:
            self.do_POST()

        def do_HEAD(self) -> None:
            owner.add()
            self._answer(404, "")

        def do_DELETE(self) -> None:
            owner.add()
            self._answer(204, "")

        def _answer(self, status: int, text: str) -> None:
            body = (_XML + text).encode() if text else b""
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.send_header("ETag", '"0"')
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
            del format, args

    return Handler


def _page(keys: Sequence[str], query: dict[str, list[str]], modified: str) -> str:
    prefix = query.get("prefix", [""])[0]
    after = query.get("continuation-token", query.get("start-after", [""]))[0]
    first = max(bisect_left(keys, prefix), bisect_right(keys, after) if after else 0)
    end = bisect_left(keys, prefix + "\U0010ffff")
    page = keys[first : min(first + _PAGE, end)]
    more = first + _PAGE < end
    contents = "".join(
        f"<Contents><Key>{key}</Key><LastModified>{modified}</LastModified><ETag>0</ETag><Size>1000</Size></Contents>"
        for key in page
    )
    token = f"<NextContinuationToken>{page[-1]}</NextContinuationToken>" if more else ""
    return (
        f"<ListBucketResult {_NAMESPACE}><Name>bench</Name><Prefix>{prefix}</Prefix><KeyCount>{len(page)}</KeyCount>"
        f"<MaxKeys>{_PAGE}</MaxKeys><IsTruncated>{str(more).lower()}</IsTruncated>{token}{contents}</ListBucketResult>"
    )
