"""Scraping: real exporters, presets against what those projects export, and exporters that misbehave."""

import asyncio
import contextlib
import http.server
import os
import subprocess
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, start_http_server

from live import PATIENCE_S
from peerscope.errors import ConfigError, SourceError
from peerscope.records.measures import NodeMetrics
from peerscope.sources import endpoint
from peerscope.sources.base import Reading
from peerscope.sources.prometheus import PrometheusSource, load_mapping

Need = Callable[[str], str]
PRESETS = ["generic", "js-libp2p", "kubo", "rust-libp2p"]

# As the projects write them: kubo's list of metrics and docs/metrics.md, js-libp2p's tests, rust-libp2p's encoder.
KUBO = """\
# HELP ipfs_p2p_peers_total Number of connected peers
# TYPE ipfs_p2p_peers_total gauge
ipfs_p2p_peers_total{transport="/ip4/tcp"} 12
ipfs_p2p_peers_total{transport="/ip4/udp/quic-v1"} 30
# TYPE libp2p_swarm_connections_opened_total counter
libp2p_swarm_connections_opened_total{dir="inbound",ip_version="ip4",transport="tcp"} 100
libp2p_swarm_connections_opened_total{dir="outbound",ip_version="ip4",transport="quic-v1"} 50
libp2p_swarm_connections_closed_total{dir="inbound",ip_version="ip4",transport="tcp"} 105
rpc_inbound_messages_total{message_type="FIND_NODE"} 70
rpc_outbound_messages_total{message_type="PING"} 30
rpc_outbound_message_errors_total{message_type="PING"} 2
rpc_outbound_request_latency_bucket{le="100"} 3
rpc_outbound_request_latency_sum{message_type="PING"} %(sum)s
rpc_outbound_request_latency_count{message_type="PING"} %(count)s
process_network_receive_bytes_total 1.5e+07
process_network_transmit_bytes_total 2e+06
process_resident_memory_bytes 1.25e+08
"""
JS = """\
libp2p_connection_manager_connections{libp2p_connection_manager_connections="inbound"} 3
libp2p_connection_manager_connections{libp2p_connection_manager_connections="inbound pending"} 9
libp2p_connection_manager_connections{libp2p_connection_manager_connections="outbound"} 4
libp2p_data_transfer_bytes_total{protocol="global received"} 1000
libp2p_data_transfer_bytes_total{protocol="global sent"} 500
libp2p_data_transfer_bytes_total{protocol="/ipfs/id/1.0.0 received"} 400
"""
RUST = """\
# HELP libp2p_swarm_connections_established Number of connections established.
# TYPE libp2p_swarm_connections_established counter
libp2p_swarm_connections_established_total{role="Dialer",protocols="/ip4/udp/quic-v1"} 9
libp2p_swarm_connections_duration_seconds_count{role="Dialer"} 4
libp2p_kad_query_result_num_requests_count{type="GetRecord"} 6
libp2p_kad_query_result_num_requests_count{type="PutRecord"} 2
libp2p_kad_query_result_num_requests_count{type="Bootstrap"} 90
# UNIT libp2p_bandwidth_bytes bytes
libp2p_bandwidth_bytes_total{protocols="/ip4/udp/quic-v1",direction="Inbound"} 700
libp2p_bandwidth_bytes_total{protocols="/ip4/udp/quic-v1/p2p",direction="Inbound"} 7
libp2p_bandwidth_bytes_total{protocols="/ip4/udp/quic-v1",direction="Outbound"} 80
# EOF
"""


class Page(http.server.BaseHTTPRequestHandler):
    """Says `server.text`, whatever it is."""

    def do_GET(self) -> None:
        data, status = self.server.answer  # type: ignore[attr-defined]
        self.send_response(status)
        if status == 302:
            self.send_header("location", "file:///etc/passwd")
        self.end_headers()
        with contextlib.suppress(OSError):
            self.wfile.write(data)
            if data == b"slow":
                while not self.server.free.wait(0.05):  # type: ignore[attr-defined]
                    self.wfile.write(b"#\n")
                    self.wfile.flush()

    def log_message(self, *_: object) -> None:
        pass


class Exporter:
    """A page on loopback; its text may be changed."""

    def __init__(self, server: http.server.ThreadingHTTPServer) -> None:
        self._server = server
        self.url = f"http://127.0.0.1:{server.server_port}/metrics"

    def says(self, text: str | bytes, status: int = 200) -> None:
        self._server.answer = (text if isinstance(text, bytes) else text.encode(), status)  # type: ignore[attr-defined]


@pytest.fixture
def exporter() -> Iterator[Exporter]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Page)
    server.free = threading.Event()  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield Exporter(server)
    server.free.set()  # type: ignore[attr-defined]
    server.shutdown()
    server.server_close()
    thread.join()


def read(source: PrometheusSource) -> Reading:
    return asyncio.run(source.read())


def test_kubo(exporter: Exporter) -> None:
    source = PrometheusSource(f"{exporter.url}#kubo")
    exporter.says(KUBO % {"sum": 1000, "count": 10})
    first = read(source)
    assert first.node == "kubo"
    assert first.metrics == NodeMetrics(
        active_connections=45,
        messages=100,
        p2p_peers=42,
        received_bytes=15_000_000,
        sent_bytes=2_000_000,
        errors=2,
    )
    assert first.latency_s is None
    assert first.details["memory_bytes"] == 1.25e8
    assert first.details["bitswap_wantlist"] is None
    exporter.says(KUBO % {"sum": 1400, "count": 12})
    assert read(source).latency_s == pytest.approx(0.2)
    assert read(source).latency_s is None  # nothing happened since
    exporter.says(KUBO % {"sum": 5, "count": 1})
    assert read(source).latency_s is None  # it started anew


def test_js_libp2p_counts_no_transfer_twice(exporter: Exporter) -> None:
    exporter.says(JS)
    found = read(PrometheusSource(f"{exporter.url}#js-libp2p"))
    assert found.metrics == NodeMetrics(active_connections=7, received_bytes=1000, sent_bytes=500)


def test_rust_libp2p(exporter: Exporter) -> None:
    exporter.says(RUST)
    found = read(PrometheusSource(f"{exporter.url}#rust-libp2p"))
    assert found.metrics == NodeMetrics(
        active_connections=5, dht_lookups=6, dht_puts=2, received_bytes=707, sent_bytes=80
    )


def test_a_real_exporter_of_the_client_library_through_a_mapping_of_ones_own(tmp_path: Path) -> None:
    registry = CollectorRegistry()
    peers = Gauge("my_peers", "With a \\ and a \n in its help", ["kind", "name"], registry=registry)
    peers.labels("full", 'quote " backslash \\ newline \n').set(5)
    peers.labels("light", "x").set(100)
    Counter("my_messages", "Messages", registry=registry).inc(7)
    took = Histogram("my_latency_seconds", "Latency", registry=registry)
    mapping = tmp_path / "mine.toml"
    mapping.write_text(
        """
        node = "mine"
        [metrics]
        p2p_peers = [{series = "my_peers", labels = {kind = "full"}}]
        messages = [{series = "my_messages_total"}]
        errors = [{series = "my_errors_total"}]
        [latency]
        series = "my_latency_seconds"
        """
    )
    server, thread = start_http_server(0, "127.0.0.1", registry)
    try:
        source = PrometheusSource(f"http://127.0.0.1:{server.server_port}/metrics#{mapping}")
        read(source)
        took.observe(0.25)
        found = read(source)
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
    assert found.node == "mine"
    assert found.metrics == NodeMetrics(messages=7, p2p_peers=5)
    assert found.latency_s == pytest.approx(0.25)


@pytest.mark.tools
def test_a_real_prometheus_server(need: Need, tmp_path: Path) -> None:
    program = need("prometheus")
    config = tmp_path / "prometheus.yml"
    config.write_text("global: {scrape_interval: 1s}\n")
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Page) as taken:
        port = taken.server_port
    command = [program, f"--config.file={config}", f"--storage.tsdb.path={tmp_path}/data"]
    with subprocess.Popen(
        [*command, f"--web.listen-address=127.0.0.1:{port}"], stderr=subprocess.DEVNULL, env=os.environ
    ) as process:
        try:
            end = time.monotonic() + PATIENCE_S
            while not answers(f"http://127.0.0.1:{port}/-/ready"):
                assert time.monotonic() < end, "it never got ready"
                time.sleep(0.1)
            found = read(PrometheusSource(f"http://127.0.0.1:{port}/metrics"))
        finally:
            process.kill()
    assert found.node == "node"
    assert (found.details["memory_bytes"] or 0) > 1e6


def answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5) as page:
            return page.status == 200
    except OSError:
        return False


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_can_be_loaded(name: str) -> None:
    assert load_mapping(name).series()


MISTAKES = {
    "node = 7": "Expected `str`, got `int`",
    "[": "mapping .*: Invalid initial character",
    'node = "x"\n[metrics]\ncolours = []': "metrics.colours is no value of a node; known: tunnels",
    'node = "x"\n[metrics]\ntunnels = [{serie = "a"}]': "unknown field `serie`",
    'node = "x"\n[metrics]\ntunnels = [{series = "a b"}]': "matching regex",
    'node = "x"\n[metrics]\ntunnels = [{series = "a", sign = "*"}]': "Invalid enum value",
}


@pytest.mark.parametrize("text", MISTAKES)
def test_a_mistake_in_a_mapping_is_told(text: str, tmp_path: Path) -> None:
    mapping = tmp_path / "wrong.toml"
    mapping.write_text(text)
    with pytest.raises(ConfigError, match=MISTAKES[text]):
        PrometheusSource(f"http://127.0.0.1:1/metrics#{mapping}")


@pytest.mark.parametrize(
    ("text", "status", "reason"),
    [
        ("", 200, "has none of the series of a kubo node; choose another mapping"),
        ("<html>hello</html>", 200, "has none of the series"),
        ("go_goroutines 7\n", 200, "has none of the series"),
        ("ipfs_p2p_peers_total NaN\n", 200, "has none of the series"),
        ("ipfs_p2p_peers_total seven\n", 200, "what is no exposition format"),
        ('ipfs_p2p_peers_total{transport="x 7\n', 200, "what is no exposition format"),
        ("gone", 404, "answers 404"),
        ("elsewhere", 302, "answers 302"),
    ],
)
def test_a_page_that_is_no_such_exporter_is_told(exporter: Exporter, text: str, status: int, reason: str) -> None:
    exporter.says(text, status)
    with pytest.raises(SourceError, match=reason):
        read(PrometheusSource(f"{exporter.url}#kubo"))


def test_an_exporter_that_is_down_is_told() -> None:
    with pytest.raises(SourceError, match=r"does not answer: .*refused"):
        read(PrometheusSource("http://127.0.0.1:1/metrics"))


def test_an_answer_without_end_is_cut_off(exporter: Exporter, monkeypatch: pytest.MonkeyPatch) -> None:
    exporter.says(b"# much\n" * 1000)
    monkeypatch.setattr(endpoint, "BODY_BYTES_MAX", 5000)
    with pytest.raises(SourceError, match="more than 5000 bytes"):
        read(PrometheusSource(exporter.url))


def test_an_answer_that_drips_is_given_up(exporter: Exporter, monkeypatch: pytest.MonkeyPatch) -> None:
    exporter.says(b"slow")
    monkeypatch.setattr(endpoint, "ANSWER_TIMEOUT_S", 0.3)
    with pytest.raises(SourceError, match=r"not finished its answer within 0\.3 s"):
        read(PrometheusSource(exporter.url))
