"""What a client of the platform sees: routes, headers, redirects, WebSockets; and who calls from inside."""

from __future__ import annotations

import json
import ssl
import subprocess
import time

import httpx
import pytest
from websockets.sync.client import ClientConnection, connect

from tests.engine.releases.small_platform import SmallPlatform

pytestmark = [pytest.mark.installation, pytest.mark.xdist_group("releases")]
HEADERS = {
    "strict-transport-security": "max-age=63072000; includeSubDomains",
    "x-frame-options": "SAMEORIGIN",
    "x-content-type-options": "nosniff",
    "referrer-policy": "strict-origin-when-cross-origin",
}
CALLER = """
import json, sys, time, urllib.request
until, found = time.monotonic() + float(sys.argv[1]), {}
while time.monotonic() < until:
    for url in sys.argv[2:]:
        asked, failed = found.get(url, (0, 0))
        try:
            urllib.request.urlopen(url, timeout=10).read()
        except Exception as error:
            failed += 1
        found[url] = (asked + 1, failed)
    time.sleep(0.01)
print(json.dumps(found))
"""


def get(small: SmallPlatform, path: str) -> httpx.Response:
    return httpx.get(f"{small.url}{path}", verify=False, headers={"Host": f"localhost:{small.port}"}, timeout=10)


def websocket(small: SmallPlatform) -> ClientConnection:
    trusting = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    trusting.check_hostname, trusting.verify_mode = False, ssl.CERT_NONE
    # This client reads and writes in two threads, which Python's TLS does not bear before 3.13: with 1.3 a session ticket
    # comes just when the request goes, and one handshake in twenty was lost. 1.2 sends nothing by itself.
    trusting.maximum_version = ssl.TLSVersion.TLSv1_2
    return connect(f"wss://127.0.0.1:{small.port}/terminal/session", ssl=trusting)


@pytest.mark.parametrize(
    ("path", "name", "seen"),
    [("/", "kohub-frontend", "/"), ("/api/a", "kohub-backend", "/api/a"), ("/terminal/x", "termix", "/x")],
)
def test_a_route_leads_to_its_service(small: SmallPlatform, path: str, name: str, seen: str) -> None:
    answer = get(small, path)
    assert (answer.status_code, answer.json()["name"], answer.json()["path"]) == (200, name, seen)


def test_every_answer_has_the_security_headers(small: SmallPlatform) -> None:
    answer = get(small, "/")
    assert {name: answer.headers[name] for name in HEADERS} == HEADERS
    assert "default-src 'self'" in answer.headers["content-security-policy"]
    assert len(answer.headers["x-request-id"]) == 32
    assert answer.headers["server"] == "nginx"  # and no version


def test_plain_http_leads_to_https_and_health_of_keycloak_is_nobodys_business(small: SmallPlatform) -> None:
    (nginx,) = small.containers()["nginx"]
    answer = httpx.get(f"http://{nginx.address}/a?b=c", headers={"Host": "localhost"})
    assert (answer.status_code, answer.headers["location"]) == (308, f"https://localhost:{small.port}/a?b=c")
    assert get(small, "/auth/health/ready").status_code == 404


def test_a_service_that_is_away_shows_the_maintenance_page(small: SmallPlatform) -> None:
    answer = get(small, "/auth/")
    assert answer.status_code == 503 and answer.headers["retry-after"] == "30" and "Back in a moment" in answer.text


def test_a_browser_is_led_to_the_monitor_s_own_name(small: SmallPlatform) -> None:
    answer = get(small, "/monitor/")
    assert (answer.status_code, answer.headers["location"]) == (302, f"https://monitor.localhost:{small.port}/")


def test_a_websocket_of_another_service_neither_drops_nor_delays_an_update(small: SmallPlatform) -> None:
    with websocket(small) as open_one:
        open_one.send("before")
        assert open_one.recv(timeout=10) == "before"
        began = time.monotonic()
        run = small.change("update", kohub_backend="1.1.0")
        took = time.monotonic() - began
        open_one.send("after")
        assert open_one.recv(timeout=10) == "after"
    drained = next(seconds for title, seconds, _ in run.timings if title.startswith("let open requests"))
    assert drained < 10, f"the drain of an idle service took {drained} s of {took}"
    small.change("rollback")


def test_callers_inside_see_no_hole(small: SmallPlatform) -> None:
    (termix,) = small.containers()["termix"]
    inside = "http://nginx:8081/services/kohub-backend/api/x"
    by_name = "http://kohub-backend:8080/api/x"
    argv = ["docker", "exec", termix.id, "python3", "-c", CALLER, "40", inside, by_name]
    calling = subprocess.Popen(argv, stdout=subprocess.PIPE, text=True)
    time.sleep(1)
    small.change("update", kohub_backend="1.1.0")
    small.change("rollback")
    found = json.loads(calling.communicate(timeout=90)[0])
    requested, failed = found[inside]
    assert failed == 0 and requested > 50
    requested, failed = found[by_name]
    assert failed == 0 and requested > 50
