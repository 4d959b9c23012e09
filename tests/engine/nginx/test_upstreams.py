"""What nginx includes, against literals."""

from __future__ import annotations

from engine.nginx.connections import established_to
from engine.nginx.upstreams import Upstream

TABLE = """  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 050013AC:A1B2 040013AC:1F90 01 00000000:00000000 00:00000000 00000000   101        0 1 1 0 20 4 30 10 -1
   1: 050013AC:A1B4 040013AC:1F90 06 00000000:00000000 00:00000000 00000000   101        0 1 1 0 20 4 30 10 -1
   2: 050013AC:A1B6 040013AC:0050 01 00000000:00000000 00:00000000 00000000   101        0 1 1 0 20 4 30 10 -1
"""


def test_by_name_as_long_as_nothing_is_replaced() -> None:
    assert "server api:8080 resolve max_fails=0;\n    keepalive 64;" in Upstream("api", 8080).text()


def test_by_address_while_it_is_replaced_and_the_old_one_stands_in() -> None:
    text = Upstream("api", 8080, address="172.19.0.4", instead="172.19.0.3:8081").text()
    assert "server 172.19.0.4:8080 max_fails=0;\n    server 172.19.0.3:8081 max_fails=0 backup;" in text


def test_connections_that_are_open_are_counted_by_address_and_port() -> None:
    assert established_to(TABLE, "172.19.0.4", 8080) == 1
    assert established_to(TABLE, "172.19.0.4", 80) == 1
    assert established_to(TABLE, "172.19.0.5", 8080) == 0
