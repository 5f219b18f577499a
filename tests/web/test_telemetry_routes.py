"""`POST /api/v1/telemetry`: what is kept, what is refused and how it is told."""

import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from live import Agent, client, running, until
from peerscope.records.measures import NodeMetrics
from peerscope.sources import telemetry as telemetry_module
from peerscope.web.telemetry import BODY_BYTES_MAX, LINES_MAX

TOKEN = "0123456789abcdef"
GAUGE = {"type": "gauge", "name": "tunnels", "value": 4}
MESSAGE = {"type": "message", "direction": "in", "bytes": 10}


def ndjson(*events: Any) -> bytes:
    return b"\n".join(event if isinstance(event, bytes) else json.dumps(event).encode() for event in events) + b"\n"


@pytest.fixture
def hearing(tmp_path: Path) -> Iterator[Agent]:
    """An agent of its own: what it hears stays with it."""
    with running(tmp_path, report={"interval_s": 0.1}) as agent:
        yield agent


def post(agent: Agent, body: bytes, **headers: str) -> httpx.Response:
    with client(agent) as asking:
        return asking.post("/api/v1/telemetry", content=body, headers=headers)


def test_a_batch_is_counted_and_shown_as_a_node(hearing: Agent) -> None:
    answer = post(hearing, ndjson(GAUGE, MESSAGE, MESSAGE))
    assert (answer.status_code, answer.json()) == (200, {"accepted": 3, "refused": [], "refused_lines": 0})
    with client(hearing) as asking:
        until(lambda: asking.get("/api/v1/node").json()["metrics"]["messages"] == 2, "it is counted")
        node = asking.get("/api/v1/node").json()
        assert (node["node"], node["check"], node["metrics"]["tunnels"]) == ("node", "answers", 4)
        assert node["metrics"]["dht_puts"] is None
        until(lambda: "node" in asking.get(f"/api/v1/peers/{hearing.peer_id}").json()["checks"], "it is reported")
        view = asking.get(f"/api/v1/peers/{hearing.peer_id}").json()
        assert view["checks"]["node"]["status"] == "healthy"
        until(lambda: asking.get(f"/api/v1/peers/{hearing.peer_id}").json()["node"] == "node", "it is introduced")
        assert asking.get("/api/v1/self").json()["node"] == "node"


def test_good_lines_are_kept_and_bad_ones_told_by_number(hearing: Agent) -> None:
    answer = post(hearing, ndjson(GAUGE, {"type": "colour"}, b"{", MESSAGE))
    assert answer.status_code == 207
    assert answer.json() == {
        "accepted": 2,
        "refused": [
            {"line": 2, "reason": "unknown type 'colour'"},
            {"line": 3, "reason": "Input data was truncated"},
        ],
        "refused_lines": 2,
    }
    assert hearing.loop.call(lambda: dict(hearing.monitor.telemetry.refused)) == {"unknown-type": 1, "no-json": 1}


def test_a_batch_without_a_good_line_is_a_bad_request(hearing: Agent) -> None:
    answer = post(hearing, b"\n".join([b"x"] * 150))
    assert answer.status_code == 400
    assert (answer.json()["accepted"], answer.json()["refused_lines"], len(answer.json()["refused"])) == (0, 150, 100)


def test_gzip_is_unpacked_and_bounded(hearing: Agent) -> None:
    packed = {"content-encoding": "gzip"}
    assert post(hearing, gzip.compress(ndjson(GAUGE)), **packed).json()["accepted"] == 1
    bomb = gzip.compress(b" " * (BODY_BYTES_MAX + 1))
    assert len(bomb) < 10_000
    assert post(hearing, bomb, **packed).status_code == 413
    assert post(hearing, b"no gzip", **packed).status_code == 400
    assert post(hearing, gzip.compress(ndjson(GAUGE))[:-4], **packed).status_code == 400
    assert post(hearing, ndjson(GAUGE), **{"content-encoding": "br"}).status_code == 415


def test_too_much_at_a_time_is_refused(hearing: Agent) -> None:
    assert post(hearing, b" " * (BODY_BYTES_MAX + 1)).status_code == 413
    assert post(hearing, b"{}\n" * (LINES_MAX + 1)).status_code == 413


def test_where_there_is_no_room_the_sender_is_told_to_wait(hearing: Agent, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(telemetry_module, "QUEUE_MAX", 2)
    answer = post(hearing, ndjson(*[GAUGE] * 3))
    assert (answer.status_code, answer.headers["retry-after"]) == (429, "1")
    assert answer.headers["content-type"] == "application/problem+json"
    assert hearing.loop.call(lambda: hearing.monitor.node.current()) is None
    assert post(hearing, ndjson(GAUGE)).status_code == 200


def test_other_sites_and_those_without_the_token_may_not_tell(tmp_path: Path) -> None:
    with running(tmp_path, web={"token": TOKEN}) as agent:
        assert post(agent, ndjson(GAUGE)).status_code == 401
        assert post(agent, ndjson(GAUGE), authorization=f"Bearer {TOKEN}").status_code == 200
        evil = post(agent, ndjson(GAUGE), authorization=f"Bearer {TOKEN}", origin="http://evil.example")
        assert evil.status_code == 403


def test_the_same_process_tells_by_methods(hearing: Agent) -> None:
    telemetry = hearing.monitor.telemetry
    telemetry.connection_opened(remote="12D3KooW")
    telemetry.dht_put("key", ["hash"])
    told = NodeMetrics(active_connections=1, p2p_peers=1, dht_puts=1, dht_lookups=0)

    def read() -> NodeMetrics | None:
        reading = hearing.loop.call(hearing.monitor.node.current)
        return None if reading is None else reading.metrics

    until(lambda: read() == told, "both are counted and read")


def test_without_a_node_there_is_none_and_no_check(web: httpx.Client, agent: Agent) -> None:
    node = web.get("/api/v1/node").json()
    assert (node["node"], node["check"], node["sources"]) == (None, None, [])
    assert "node" not in web.get(f"/api/v1/peers/{agent.peer_id}").json()["checks"]


def test_a_node_that_introduces_itself_is_on_the_map_with_its_neighbours(hearing: Agent) -> None:
    # These characters end lines for `str.splitlines`, and may stand in JSON.
    remote = "a\u2028b\u2029c\x85d"
    opened = {"type": "connection", "event": "opened", "rtt_s": 0.02}
    lines = [
        {"type": "node", "id": "12D3me", "name": "mine", "version": "1.0"},
        opened | {"remote": "/ip4/192.0.2.7/tcp/4001/p2p/12D3a"},
        opened | {"remote": remote},
    ]
    body = b"\n".join(json.dumps(line, ensure_ascii=False).encode() for line in lines)
    assert post(hearing, body).json() == {"accepted": 3, "refused": [], "refused_lines": 0}
    with client(hearing) as asking:
        until(lambda: asking.get("/api/v1/node").json()["node_id"] == "12D3me", "it is introduced")
        node = asking.get("/api/v1/node").json()
        assert (node["node"], node["version"], node["neighbours"]) == ("mine", "1.0", ["12D3a"])
        assert node["metrics"]["active_connections"] == 2
        assert node["latency_age_s"] is None
