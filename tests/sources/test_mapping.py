"""Mappings: terms, neighbours, ids and values of the node's own kind; presets against pages of the real programs."""

from pathlib import Path

import msgspec
import pytest

from peerscope.errors import ConfigError, SourceError
from peerscope.records.bodies import OverlayLink
from peerscope.records.measures import Measure, NodeMetrics
from peerscope.sources import prometheus
from peerscope.sources.base import Reading
from peerscope.sources.mapping import load_mapping
from peerscope.sources.prometheus import PrometheusSource

PAGES = Path(__file__).parent / "pages"
ROOT = Path(__file__).parents[2]


@pytest.fixture
def mapped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> "Mapped":
    monkeypatch.setattr(prometheus, "monotonic", lambda: 1000.0)
    return Mapped(tmp_path)


class Mapped:
    """A source with a mapping of one's own."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "mine.toml"

    def source(self, text: str) -> PrometheusSource:
        self._file.write_text(f'node = "mine"\n{text}')
        return PrometheusSource(f"http://127.0.0.1:1/metrics#{self._file}")


def read(source: PrometheusSource, page: str) -> Reading:
    """A reading, as an attachment validates it."""
    reading = source.reading(page.encode())
    return msgspec.convert(msgspec.to_builtins(reading), Reading)


def preset(name: str, page: str) -> Reading:
    source = PrometheusSource(f"http://127.0.0.1:1/metrics#{name}")
    return msgspec.convert(msgspec.to_builtins(source.reading((PAGES / f"{page}.txt").read_bytes())), Reading)


def test_absent_is_zero_only_where_another_series_says_so(mapped: Mapped) -> None:
    source = mapped.source('[metrics]\np2p_peers = [{series = "peers", zero_if = "up"}]\ntunnels = [{series = "t"}]')
    assert read(source, "up 1\n").metrics == NodeMetrics(p2p_peers=0)
    assert read(source, "t 3\n").metrics == NodeMetrics(tunnels=3)
    assert read(source, 'up 1\npeers{a="x"} 2\npeers{a="y"} 3\n').metrics == NodeMetrics(p2p_peers=5)
    assert read(source, "up NaN\nt 3\n").metrics == NodeMetrics(p2p_peers=0, tunnels=3)
    assert read(source, "up 1\nup_since 3\npeers_max 4\n").metrics == NodeMetrics(p2p_peers=0)


def test_a_term_to_subtract_is_never_enough(mapped: Mapped) -> None:
    source = mapped.source(
        '[metrics]\nactive_connections = [{series = "a", zero_if = "up"}, {series = "b", sign = "-"}]'
    )
    assert read(source, "b 3\n").metrics == NodeMetrics()
    assert read(source, "a 5\nb 3\n").metrics == NodeMetrics(active_connections=2)
    assert read(source, "a 3\nb 5\n").metrics == NodeMetrics()  # the page contradicts itself
    assert read(source, "up 1\nb 5\n").metrics == NodeMetrics()


@pytest.mark.parametrize("value", ["-3", "18446744073709551615", "1e300", "NaN", "+Inf"])
def test_a_number_that_counts_nothing_is_unknown(mapped: Mapped, value: str) -> None:
    source = mapped.source('[metrics]\np2p_peers = [{series = "peers"}]\ntunnels = [{series = "t"}]')
    assert read(source, f"peers {value}\nt 1\n").metrics == NodeMetrics(tunnels=1)
    assert read(source, f'peers{{a="x"}} {value}\npeers{{a="y"}} 9\nt 1\n').metrics.p2p_peers in (None, 6)


@pytest.mark.parametrize("value", ["NaN", "-Inf"])
def test_a_sum_with_an_unknown_part_is_unknown(mapped: Mapped, value: str) -> None:
    source = mapped.source(
        '[metrics]\np2p_peers = [{series = "peers", zero_if = "t"}]\ntunnels = [{series = "t"}]\n'
        '[measures.own]\nterms = [{series = "peers"}]\n[details]\nd = [{series = "peers"}]'
    )
    found = read(source, f'peers{{a="x"}} 5\npeers{{a="y"}} {value}\nt 1\n')
    assert (found.metrics, found.measures, found.details) == (NodeMetrics(tunnels=1), (), {"d": None})


def test_labels_that_are_no_text_never_merge(mapped: Mapped) -> None:
    source = mapped.source('[metrics]\nreceived_bytes = [{series = "rx"}]\ntunnels = [{series = "t"}]')
    found = source.reading(b'rx{peer="\xff"} 100\nrx{peer="\xfe"} 50\nt 1\n')
    assert found.metrics == NodeMetrics(tunnels=1)


COUNTERS = """
[metrics]
messages = [{series = "m"}]
errors = [{series = "e", zero_if = "up"}]
p2p_peers = [{series = "m"}]
[measures.own_total]
terms = [{series = "m"}]
kind = "counter"
[measures.own]
terms = [{series = "m"}]
"""


def test_a_counter_whose_series_changed_is_unknown_for_that_page(mapped: Mapped) -> None:
    source = mapped.source(COUNTERS)
    a, b = 'm{p="a"} %d\n', 'm{p="b"} %d\n'
    pages = [a % 10 + b % 90, a % 11, a % 12, a % 13 + b % 95, a % 14 + b % 95, "up 1\n", a % 1, a % 2]
    found = [read(source, page) for page in pages]
    assert [one.metrics.messages for one in found] == [100, None, 12, None, 109, None, 1, 2]
    assert [one.metrics.p2p_peers for one in found] == [100, 11, 12, 108, 109, None, 1, 2]  # no counter
    assert [{own.name for own in one.measures} for one in found[:3]] == [
        {"own_total", "own"},
        {"own"},
        {"own_total", "own"},
    ]


def test_a_series_that_counts_from_its_first_event_on_is_known_from_zero(mapped: Mapped) -> None:
    source = mapped.source(COUNTERS)
    pages = ["up 1\n", 'up 1\ne{k="a"} 1\n', 'up 1\ne{k="a"} 1\ne{k="b"} 2\n', 'up 1\ne{k="b"} 3\n']
    pages += ['up 1\ne{k="b"} 3\n', 'up 1\ne{k="a"} 900\ne{k="b"} 3\n']
    assert [read(source, page).metrics.errors for page in pages] == [0, 1, 3, None, 3, None]


@pytest.mark.parametrize("value", ["1e300", "-1e300", "1.7e308", "-0.4", "9007199254740993"])
def test_hostile_numbers_stay_within_the_limits_of_a_reading(mapped: Mapped, value: str) -> None:
    source = mapped.source(
        """
        metrics = {messages = [{series = "a"}, {series = "a"}]}
        details = {a = [{series = "a"}, {series = "a"}]}
        measures = {own = {terms = [{series = "a"}, {series = "a"}]}}
        latency = {series = "a", kind = "gauge"}
        overlay = {series = "b", label = "to", rtt = {series = "a", kind = "gauge"}}
        """
    )
    for _ in range(2):
        read(source, f'a {value}\nb{{to="x"}} {value}\na{{to="x"}} {value}\n')


OVERLAY = """
[overlay]
series = "links"
label = "remote"
labels = {state = "up"}
rtt = {series = "rtt_ms", unit_s = 0.001, label = "to", kind = "KIND"}
[node_id]
series = "self"
label = "id"
[version]
series = "self"
label = "release"
"""


def test_neighbours_are_values_of_a_label(mapped: Mapped) -> None:
    source = mapped.source(OVERLAY.replace("KIND", "gauge"))
    page = """\
self{id="me",release="1.0"} 1
links{remote="b",state="up"} 1
links{remote="a",state="up"} 2
links{remote="c",state="down"} 1
links{remote="d",state="up"} 0
links{remote="e",state="up"} NaN
links{remote="",state="up"} 1
links{state="up"} 1
links{remote="with\\nlines",state="up"} 1
links{remote="%s",state="up"} 1
rtt_ms{to="a"} 12.5
rtt_ms{to="c"} 99
""" % ("x" * 81)
    found = read(source, page)
    assert found.overlay == (OverlayLink("a", 12_500), OverlayLink("b"))
    assert (found.node_id, found.version) == ("me", "1.0")
    assert found.details == {"names_refused": 2.0}


def test_round_trips_of_a_histogram_are_means_since_the_last_look(mapped: Mapped) -> None:
    source = mapped.source(OVERLAY.replace("KIND", "histogram"))
    page = 'links{remote="a",state="up"} 1\nrtt_ms_sum{to="a"} %d\nrtt_ms_count{to="a"} %d\n'
    assert read(source, page % (1000, 10)).overlay == (OverlayLink("a"),)
    assert read(source, page % (1030, 12)).overlay == (OverlayLink("a", 15_000),)
    assert read(source, page % (1030, 12)).overlay == (OverlayLink("a", 15_000),)


def test_too_many_neighbours_are_cut_the_same_way_each_time(mapped: Mapped) -> None:
    source = mapped.source(OVERLAY.replace("KIND", "gauge"))
    lines = [f'links{{remote="{n:05}",state="up"}} 1\n' for n in range(5000)]
    first = read(source, "".join(lines)).overlay
    assert [link.node for link in first] == [f"{n:05}" for n in range(32)]
    assert read(source, "".join(reversed(lines))).overlay == first


def test_samples_that_disagree_give_no_id(mapped: Mapped) -> None:
    source = mapped.source(OVERLAY.replace("KIND", "gauge"))
    assert read(source, 'self{id="a"} 1\nself{id="b"} 1\n').node_id is None
    assert read(source, 'self{id="a\\n"} 1\n').node_id is None
    assert read(source, 'self{id="a",x="1"} 1\nself{id="a",x="2"} 0\n').node_id == "a"


def test_values_of_its_own_kind(mapped: Mapped) -> None:
    source = mapped.source(
        """
        [measures.sync_lag]
        terms = [{series = "best"}, {series = "own", sign = "-"}]
        unit = "blocks"
        [measures.dropped]
        terms = [{series = "dropped_total"}]
        kind = "counter"
        [measures.missing]
        terms = [{series = "missing"}]
        """
    )
    found = read(source, "best 812345\nown 812325\ndropped_total 0.1234567\n")
    assert found.measures == (Measure("sync_lag", 20, "blocks"), Measure("dropped", 0.123457, "", True))


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('[measures.Big]\nterms = [{series = "a"}]', "matching regex"),
        ("[measures.a]\nterms = []", "length >= 1"),
        ('[measures.a]\nterms = [{series = "a"}]\nkind = "rate"', "Invalid enum value"),
        ('[overlay]\nseries = "a"', "missing required field `label`"),
        ('[latency]\nseries = "a"\nunit_s = 0.0', "> 0"),
        ('[latency]\nseries = ["a b"]', "matching regex"),
        ('[metrics]\ntunnels = [{series = "a", zero_if = "a b"}]', "matching regex"),
    ],
)
def test_a_mistake_is_named(mapped: Mapped, text: str, reason: str) -> None:
    with pytest.raises(ConfigError, match=reason):
        mapped.source(text)


def test_a_page_of_the_unwanted_alone_is_refused(mapped: Mapped) -> None:
    with pytest.raises(SourceError, match="none of the series of a mine node"):
        read(mapped.source('[metrics]\ntunnels = [{series = "a"}]'), "ab 1\n")


# -- presets against recorded pages; their first lines name the programs --


def test_kubo() -> None:
    found = preset("kubo", "kubo")
    assert found.version == "0.43.1"
    assert found.metrics == NodeMetrics(
        active_connections=2, messages=62, p2p_peers=2, received_bytes=184_688, sent_bytes=184_688, errors=0
    )
    assert Measure("dht_requests", 19, "requests", True) in found.measures


def test_an_isolated_kubo_has_no_peers_rather_than_an_unknown_number() -> None:
    metrics = preset("kubo", "kubo-alone").metrics
    assert (metrics.p2p_peers, metrics.active_connections, metrics.messages, metrics.errors) == (0, 0, 0, 0)


def test_go_libp2p() -> None:
    metrics = preset("go-libp2p", "kubo").metrics
    assert (metrics.active_connections, metrics.messages, metrics.p2p_peers) == (2, 62, None)


def test_js_libp2p_counts_no_transfer_twice_and_no_operation_in_flight() -> None:
    found = preset("js-libp2p", "js-libp2p")
    assert found.metrics == NodeMetrics(
        active_connections=2, messages=8, received_bytes=11_734, sent_bytes=11_771, errors=2
    )
    assert found.latency_s == pytest.approx(0.01585, abs=1e-5)
    assert found.measures == (Measure("dht_nodes", 2, "nodes"), Measure("dht_requests", 7, "requests", True))
    assert preset("js-libp2p", "js-libp2p-alone").metrics == NodeMetrics(
        active_connections=0, messages=0, received_bytes=0, sent_bytes=0, errors=0
    )


def test_rust_libp2p_counts_lookups_and_not_their_steps() -> None:
    found = preset("rust-libp2p", "rust-libp2p")  # told by the program: 10 lookups, 5 puts, 2 peers and connections
    assert found.metrics == NodeMetrics(
        active_connections=2, p2p_peers=2, dht_lookups=10, dht_puts=5, received_bytes=10_445, sent_bytes=6_864
    )
    assert preset("rust-libp2p", "rust-libp2p-alone").metrics == NodeMetrics(
        active_connections=0, p2p_peers=0, dht_lookups=0, dht_puts=0
    )


def test_py_libp2p() -> None:
    found = preset("py-libp2p", "py-libp2p")
    assert found.metrics == NodeMetrics(messages=0)
    assert (found.details["dials"], found.details["incoming_connections"]) == (2, 0)


def test_etcd_names_its_members() -> None:
    found = preset("etcd", "etcd")
    assert (found.node_id, found.version) == ("b71f75320dc06a6c", "3.4.23")
    assert [link.node for link in found.overlay] == ["11bff47b8baf3ee9", "2daa54f17ef01167"]
    assert found.metrics.p2p_peers == 2


def test_tor_counts_no_listening_socket() -> None:
    found = preset("tor", "tor")
    assert found.metrics == NodeMetrics(active_connections=0, received_bytes=0, sent_bytes=0)
    assert found.details["sockets_opened"] == 4  # not 19968, the limit


def test_nebula_counts_the_hosts_of_its_map() -> None:
    metrics = preset("nebula", "nebula").metrics
    assert (metrics.p2p_peers, metrics.active_connections, metrics.errors) == (1, 1, 0)


@pytest.mark.parametrize("page", sorted(path.stem for path in PAGES.glob("*.txt")))
def test_a_recorded_page_cut_anywhere_is_refused_or_ends_at_a_line(page: str) -> None:
    whole = (PAGES / f"{page}.txt").read_bytes()
    source = PrometheusSource("http://127.0.0.1:1/metrics#kubo")
    for length in range(1, len(whole), 37):
        if whole[length - 1 : length] != b"\n":
            with pytest.raises(SourceError, match="broke off"):
                source.reading(whole[:length])


def test_the_documented_mapping_is_read(mapped: Mapped) -> None:
    text = (ROOT / "docs/reference/exporters.md").read_text(encoding="utf-8")
    example = text.partition("```toml\n")[2].partition("```")[0].removeprefix('node = "mine"\n')
    found = read(
        mapped.source(example),
        'my_build_info{peer_id="me"} 1\nmy_opened_total 5\nmy_closed_total 2\nmy_best_height 9\nmy_height 7\n'
        'my_peer_connected{peer_id="a"} 1\nmy_peer_rtt_milliseconds{peer_id="a"} 30\n',
    )
    assert (found.node_id, found.overlay) == ("me", (OverlayLink("a", 30_000),))
    assert found.metrics == NodeMetrics(active_connections=3, p2p_peers=0)
    assert found.measures == (Measure("sync_lag", 2, "blocks"),)


def test_every_preset_of_the_package_is_checked_here() -> None:
    text = Path(__file__).read_text()
    with pytest.raises(ConfigError) as error:
        load_mapping("nothing")
    names = str(error.value).partition("presets are ")[2].partition(";")[0].split(", ")
    assert [name for name in names if f'preset("{name}"' not in text] == ["generic"]
