"""Scraping: real exporters, credentials, and exporters that misbehave."""

import asyncio
import contextlib
import gzip
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

from certificates import serving
from live import PATIENCE_S
from peerscope.errors import ConfigError, SourceError
from peerscope.records.measures import NodeMetrics
from peerscope.sources import endpoint, prometheus
from peerscope.sources.base import Reading
from peerscope.sources.mapping import load_mapping
from peerscope.sources.prometheus import PrometheusSource

Need = Callable[[str], str]
PRESETS = ["etcd", "generic", "go-libp2p", "js-libp2p", "kubo", "py-libp2p", "rust-libp2p", "tor"]


class Page(http.server.BaseHTTPRequestHandler):
    """Says `server.text`, whatever it is."""

    def do_GET(self) -> None:
        data, status = self.server.answer  # type: ignore[attr-defined]
        name, value = self.server.wants  # type: ignore[attr-defined]
        if name and self.headers.get(name) != value:
            data, status = b"", 401
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

    def wants(self, header: str, value: str) -> None:
        """Refuse requests without this header."""
        self._server.wants = (header, value)  # type: ignore[attr-defined]


@pytest.fixture
def exporter() -> Iterator[Exporter]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Page)
    server.free = threading.Event()  # type: ignore[attr-defined]
    server.wants = ("", "")  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield Exporter(server)
    server.free.set()  # type: ignore[attr-defined]
    server.shutdown()
    server.server_close()
    thread.join()


def read(source: PrometheusSource) -> Reading:
    return asyncio.run(source.read())


KUBO = """\
ipfs_p2p_peers_total{transport="/ip4/tcp"} 12
rpc_outbound_request_latency%(unit)s_sum{message_type="PING"} %(sum)s
rpc_outbound_request_latency%(unit)s_count{message_type="PING"} %(count)s
"""


@pytest.mark.parametrize("unit", ["", "_milliseconds"])
def test_the_mean_latency_of_kubo_stays_with_its_age(
    exporter: Exporter, unit: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, now = PrometheusSource(f"{exporter.url}#kubo"), 1000.0
    monkeypatch.setattr(prometheus, "monotonic", lambda: now)

    def latency(summed: float | None, count: float) -> tuple[float | None, float | None]:
        page = KUBO % {"unit": unit, "sum": summed, "count": count}
        exporter.says(page if summed is not None else page.partition("rpc")[0])
        found = read(source)
        return found.latency_s, found.latency_age_s

    assert latency(1000, 10) == (None, None)
    assert latency(1400, 12) == (pytest.approx(0.2), None)
    now += 5
    assert latency(1400, 12) == (pytest.approx(0.2), 5.0)  # nothing happened since
    assert latency(None, 0) == (pytest.approx(0.2), 5.0)
    assert latency(1400, 12) == (pytest.approx(0.2), 5.0)  # not 1400 / 12: over its whole life
    assert latency(5, 1) == (pytest.approx(0.2), 5.0)  # it started anew
    assert latency(15, 2) == (pytest.approx(0.01), None)
    now += 601
    assert latency(15, 2) == (None, None)


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
        ("go_goroutines 7\n", 200, "has none of the series"),
        ("ipfs_p2p_peers_total_of_others 7\n", 200, "has none of the series"),
        ("<html>hello</html>", 200, "answers with an HTML page instead of Prometheus's text format"),
        ("ipfs_p2p_peers_total NaN\n", 200, r"has ipfs_p2p_peers_total, but without a value \(NaN\)"),
        ("ipfs_p2p_peers_total seven\n", 200, r"unreadable line 1 \(no number follows\): ipfs_p2p_peers_total seven"),
        ('ipfs_p2p_peers_total{transport="x 7\n', 200, "its labels have no end"),
        ("ipfs_p2p_peers_total 5072", 200, "broke off"),
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


def test_credentials_come_from_a_file_and_never_show(
    exporter: Exporter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = tmp_path / "token"
    token.write_text("s3cret\n")
    exporter.says("process_open_fds 7\n")
    exporter.wants("Authorization", "Bearer s3cret")
    with pytest.raises(SourceError, match=r"401: it wants credentials; name their file, as in #token_file=PATH"):
        read(PrometheusSource(exporter.url))
    assert read(PrometheusSource(f"{exporter.url}#token_file={token}")).details["open_files"] == 7
    assert read(PrometheusSource(f"{exporter.url}#generic&token_file={token}")).details["open_files"] == 7
    token.write_text("other")
    with pytest.raises(SourceError, match="does not accept these credentials") as error:
        read(PrometheusSource(f"{exporter.url}#token_file={token}"))
    assert "other" not in str(error.value).replace("another", "")
    token.write_text("s3cret")
    exporter.wants("X-Api-Key", "s3cret")
    assert read(PrometheusSource(f"{exporter.url}#token_file={token}&header=X-Api-Key")).details["open_files"] == 7
    exporter.wants("Authorization", "Basic bWU6czNjcmV0")
    found = read(PrometheusSource(f"{exporter.url}#generic&user=me&password_file={token}"))
    assert found.details["open_files"] == 7


def test_a_certificate_is_trusted_only_where_it_is_named(tmp_path: Path) -> None:
    authority, context = serving(tmp_path)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Page)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    server.wants, server.answer = ("", ""), (b"process_open_fds 7\n", 200)  # type: ignore[attr-defined]
    server.handle_error = lambda *_: None  # type: ignore[method-assign]
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        url = f"https://127.0.0.1:{server.server_port}/metrics"
        assert read(PrometheusSource(f"{url}#ca_file={authority}")).details["open_files"] == 7
        with pytest.raises(SourceError, match="certificate verify failed"):
            read(PrometheusSource(url))
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def test_a_packed_answer_is_named(exporter: Exporter) -> None:
    exporter.says(gzip.compress(b"process_open_fds 7\n"))
    with pytest.raises(SourceError, match="answers with gzip instead"):
        read(PrometheusSource(exporter.url))
