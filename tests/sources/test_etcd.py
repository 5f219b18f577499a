"""The source etcd with answers as etcd 3.4.23 and 3.6.16 gave them, and with answers that no etcd gives."""

import http.server
import json
import threading
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from peerscope.errors import ConfigError, SourceError
from peerscope.records.bodies import OverlayLink
from peerscope.records.measures import NodeMetrics
from peerscope.sources.base import Reading, make_source
from peerscope.sources.programs.etcd import SILENT_S, EtcdSource, MemberList, MemberStatus

ME, ONE, TWO = "2e1259d415f2a040", "2943212f5e2cf73", "bdae9bbc11dd390d"
STATUS = {
    "header": {"cluster_id": "1", "member_id": str(int(ME, 16)), "revision": "1", "raft_term": "2"},
    "version": "3.4.23",
    "dbSize": "20480",
    "leader": str(int(ONE, 16)),
    "raftTerm": "2",
}
MEMBERS = {
    "header": STATUS["header"],
    "members": [
        {"ID": str(int(ONE, 16)), "name": "n2", "clientURLs": ["http://127.0.0.1:23792"]},
        {"ID": str(int(ME, 16)), "name": "n0", "clientURLs": ["http://127.0.0.1:23790", "unix://x"]},
        {"ID": str(int(TWO, 16)), "name": ""},
    ],
}
PAGE = f"""# HELP etcd_server_has_leader Whether or not a leader exists. 1 is existence, 0 is not.
# TYPE etcd_server_has_leader gauge
etcd_server_has_leader 1
etcd_server_is_leader 0
etcd_server_id{{server_id="{ME}"}} 1
etcd_server_version{{server_version="3.4.23"}} 1
etcd_server_leader_changes_seen_total 2
etcd_server_proposals_failed_total 0
etcd_server_proposals_pending 0
etcd_network_active_peers{{Local="{ME}",Remote="{ONE}"}} 1
etcd_network_active_peers{{Local="{ME}",Remote="{TWO}"}} 0
etcd_network_peer_received_bytes_total{{From="0"}} 120
etcd_network_peer_received_bytes_total{{From="{ONE}"}} 1847
etcd_network_peer_sent_bytes_total{{To="{ONE}"}} 2308
etcd_network_peer_round_trip_time_seconds_bucket{{To="{ONE}",le="0.0001"}} 1
etcd_network_peer_round_trip_time_seconds_sum{{To="{ONE}"}} 0.0002
etcd_network_peer_round_trip_time_seconds_count{{To="{ONE}"}} 2
process_open_fds 29
"""


def read(
    page: str = PAGE, source: EtcdSource | None = None, *, now: float = 0.0, gateway: bool = True, **changes: Any
) -> Reading:
    status = msgspec.convert(STATUS | changes, MemberStatus) if gateway else None
    members = msgspec.convert(MEMBERS, MemberList) if gateway else None
    return (source or EtcdSource()).reading(page, status, members, now)


def named(reading: Reading) -> dict[str, float | None]:
    return {one.name: one.value for one in reading.measures}


def test_a_member_and_its_cluster() -> None:
    reading = read()
    assert (reading.node, reading.node_id, reading.version) == ("etcd", ME, "3.4.23")
    assert reading.metrics == NodeMetrics(p2p_peers=1, received_bytes=1967, sent_bytes=2308, errors=0)
    assert reading.overlay == (OverlayLink(ONE),)
    assert named(reading) == {"has_leader": 1, "leader_changes": 2, "members_alive": 2, "members_failed": 1}
    assert reading.addresses == ("127.0.0.1:23790",)
    assert reading.details["leader"] == f"{ONE} n2"
    assert msgspec.convert(msgspec.to_builtins(reading), Reading) == reading


def test_round_trips_are_those_since_the_last_look_and_the_last_mean_keeps_its_age() -> None:
    source = EtcdSource()
    assert read(source=source).latency_s is None  # two of them, over an unknown time
    later = PAGE.replace("0.0002", "0.0010").replace('_count{To="' + ONE + '"} 2', '_count{To="' + ONE + '"} 4')
    reading = read(later, source, now=5.0)
    assert (reading.latency_s, reading.latency_age_s) == (pytest.approx(0.0004), None)
    assert reading.overlay == (OverlayLink(ONE, 400),)
    assert read(later, source, now=15.0).latency_age_s == 10.0
    assert read(later, source, now=700.0).latency_s is None  # it says nothing any more
    restarted = read(PAGE, source, now=705.0)
    assert restarted.latency_s is None


def test_a_series_that_appears_begins_at_zero() -> None:
    source = EtcdSource()
    read("\n".join(line for line in PAGE.split("\n") if "round_trip" not in line), source)
    assert read(PAGE, source, now=5.0).latency_s == pytest.approx(0.0001)


def test_a_leader_leaves_out_a_follower_that_is_silent_while_bytes_go_to_it() -> None:
    source, leading = EtcdSource(), PAGE.replace("is_leader 0", "is_leader 1")
    assert named(read(leading, source))["members_alive"] == 2
    sent = leading.replace("2308", "9000")
    assert named(read(sent, source, now=SILENT_S - 1))["members_alive"] == 2
    frozen = read(sent, source, now=SILENT_S)
    assert named(frozen) | {"p2p_peers": frozen.metrics.p2p_peers} == {
        "has_leader": 1,
        "leader_changes": 2,
        "members_alive": 1,
        "members_failed": 2,
        "p2p_peers": 1,  # as etcd counts it
    }
    assert named(read(sent.replace("1847", "1900"), source, now=SILENT_S + 1))["members_alive"] == 2
    follower = EtcdSource()
    read(PAGE, follower)
    assert named(read(PAGE.replace("2308", "9000"), follower, now=60.0))["members_alive"] == 2


def test_a_fresh_member_alone_and_a_cluster_without_a_leader() -> None:
    alone = "\n".join(line for line in PAGE.split("\n") if "network" not in line)
    status = msgspec.convert(STATUS, MemberStatus)
    only = msgspec.convert({"members": [MEMBERS["members"][1]]}, MemberList)
    reading = EtcdSource().reading(alone, status, only, 0.0)
    assert (reading.metrics.p2p_peers, reading.overlay, named(reading)["members_failed"]) == (0, (), 0)
    assert reading.metrics.received_bytes is None  # not zero: etcd does not say
    leaderless = read(PAGE.replace("has_leader 1", "has_leader 0"), leader="0")
    assert (named(leaderless)["has_leader"], leaderless.details["leader"]) == (0, None)


def test_metrics_alone_are_enough() -> None:
    reading = read(gateway=False)
    assert (reading.node_id, reading.version, reading.metrics.p2p_peers) == (ME, "3.4.23", 1)
    assert "members_failed" not in named(reading)


@pytest.mark.parametrize(
    ("page", "said"),
    [
        ("", "not the page of an etcd member"),
        ("<html>etcd_server_has_leader</html>", "not the page of an etcd member"),
        ("node_cpu 1\n", "not the page of an etcd member"),
        ('etcd_server_has_leader 1\netcd_server_id{server_id="\x1b[2J"} 1\n', "names no id"),
    ],
)
def test_other_pages_are_refused(page: str, said: str) -> None:
    with pytest.raises(SourceError, match=said):
        read(page, gateway=False)


@pytest.mark.parametrize("value", ["1e308", "NaN", "+Inf", "-5", "9" * 40, "x", ""])
def test_a_hostile_value_is_cut_or_unknown(value: str) -> None:
    reading = read(PAGE.replace("} 2308", f"}} {value}"))
    assert reading.metrics.sent_bytes is None
    assert msgspec.convert(msgspec.to_builtins(reading), Reading) == reading


def test_bytes_are_unknown_while_the_series_of_their_sum_change() -> None:
    line = 'etcd_network_peer_sent_bytes_total{To="ab"} 7000000\n'
    source = EtcdSource("http://127.0.0.1:1")
    found = [
        source.reading(page, None, None, 0.0).metrics.sent_bytes for page in (PAGE + line, PAGE, PAGE, PAGE + line)
    ]
    known = found[2]
    assert known is not None
    assert found == [known + 7_000_000, None, known, None]


@given(st.text(max_size=60))
def test_a_label_with_any_character_changes_no_other_series(label: str) -> None:
    line = f'etcd_network_peer_sent_bytes_total{{To="{label}"}} 7\n'
    safe = label.replace("\n", "").replace('"', "").replace("\\", "")
    reading = read(PAGE + line.replace(label, safe) if label else PAGE)
    assert reading.metrics.received_bytes == 1967
    assert reading.overlay == (OverlayLink(ONE),)
    assert reading.metrics.sent_bytes in (2308, 2315)


@pytest.fixture
def member() -> Iterator[tuple[str, dict[str, tuple[int, bytes]]]]:
    """A server with these answers by path, which may be changed."""
    answers = {
        "/v3/maintenance/status": (200, json.dumps(STATUS).encode()),
        "/v3/cluster/member/list": (200, json.dumps(MEMBERS).encode()),
        "/metrics": (200, PAGE.encode()),
    }

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            code, data = answers[self.path]
            self.send_response(code)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        do_POST = do_GET

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"etcd:http://127.0.0.1:{server.server_port}", answers
        server.shutdown()
        thread.join()


async def _read(spec: str) -> Reading:
    return await make_source(spec).read()


def test_it_asks_gateway_and_metrics_and_does_without_the_first(
    member: tuple[str, dict[str, tuple[int, bytes]]],
) -> None:
    import asyncio

    spec, answers = member
    assert named(asyncio.run(_read(spec)))["members_failed"] == 1
    for refusal in ((404, b"404 page not found"), (200, b"<html>"), (200, b'{"header":{"member_id":"-1"}}')):
        answers["/v3/maintenance/status"] = refusal
        assert "members_failed" not in named(asyncio.run(_read(spec)))
    answers["/metrics"] = (503, b"")
    with pytest.raises(SourceError, match="503"):
        asyncio.run(_read(spec))


def test_its_spec_is_checked_before_the_start() -> None:
    assert EtcdSource("")._endpoint.url == "http://127.0.0.1:2379"
    with pytest.raises(ConfigError, match="is no URL"):
        make_source("etcd:localhost")
    with pytest.raises(ConfigError, match="is no option"):
        make_source("etcd:http://127.0.0.1:2379#key=x")
