"""Series of what nodes name themselves: no name of a node collides with a series, a label or an ending."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import parser
from prometheus_client.openmetrics import parser as openmetrics_parser

from peerscope.export.exposition import render
from peerscope.export.families import measured, network_measures, own_measures
from peerscope.records.measures import Measure, Metrics, ReportedNode, quantised_measures
from peerscope.views.measures import MeasureAggregate
from peerscope.views.metrics import MetricsView, metrics_view

PARSERS: dict[str, Callable[..., object]] = {
    "": parser.text_string_to_metric_families,
    "application/openmetrics-text; version=1.0.0": openmetrics_parser.text_string_to_metric_families,
}
NASTY = ("le", "quantile", "instance", "peer", "subject", "measure", "node_measure", "a_total", "a_count", "a_bucket")
NASTY += ("a_sum", "a_created", "a_info", "p2p_peers", "peerscope_node_peers", "received_bytes")
names = st.sampled_from(NASTY) | st.from_regex(r"[a-z][a-z0-9_]{0,47}", fullmatch=True)
values = st.integers(-(2**53) + 1, 2**53 - 1) | st.floats(-1e300, 1e300) | st.none()
measures = st.builds(Measure, names, values, st.from_regex(r"[a-z0-9_/]{0,16}", fullmatch=True), st.booleans())


def samples(accept: str, *views: MetricsView) -> dict[tuple[str, str, str], float]:
    """Own series and series of every peer, as a scraper reads them: by series, measure and subject."""
    of_peers = [((f"{number:016x}",), view) for number, view in enumerate(views)]
    families = [*measured("", [((), views[0])]), *own_measures("", [((), views[0])])]
    families += [*measured("peer_", of_peers, ("subject",)), *own_measures("peer_", of_peers, ("subject",))]
    page, _ = render([family for family in families if family.samples], accept, packed=False)
    found = [one for family in PARSERS[accept](page.decode()) for one in family.samples]
    keys = [(one.name, one.labels.get("measure", ""), one.labels.get("subject", "")) for one in found]
    assert len(set(keys)) == len(keys)
    return {key: one.value for key, one in zip(keys, found, strict=True)}


@pytest.mark.parametrize("accept", PARSERS)
@given(some=st.lists(measures, max_size=16, unique_by=lambda one: one.name))
def test_any_names_are_read_back_as_they_were_and_change_no_other_series(accept: str, some: list[Measure]) -> None:
    kept = quantised_measures(some)
    node = ReportedNode(p2p_peers=7, received_bytes=9, measures=kept)
    found = samples(accept, metrics_view(Metrics(node=node)), metrics_view(Metrics()))
    assert (found["peerscope_node_peers", "", ""], found["peerscope_node_received_bytes_total", "", ""]) == (7, 9)
    mine = {key: value for key, value in found.items() if key[1]}
    for prefix, subject in (("", ""), ("peer_", f"{0:016x}")):
        for one in kept:
            series = f"peerscope_{prefix}node_measure" + ("d_total" if one.is_counter else "")
            read = mine.pop((series, one.name, subject), None)
            assert read == (None if one.value is None else pytest.approx(one.value))
    assert mine == {}


def test_the_network_has_a_series_for_each_statistic_with_the_kind_of_the_nodes() -> None:
    rate = MeasureAggregate('a"\\b', "leader_changes", "", True, 3, 0.5, 0.5, 0.0, 1.0, 1.5, 0, {})
    level = MeasureAggregate("bitcoin", "block_height", "blocks", False, 3, 9.0, 9.0, 8.0, 10.0, None, 2, {})
    page, _ = render(list(network_measures([rate, level])), "", packed=False)
    text = page.decode()
    assert (
        'peerscope_network_node_measure{measure="block_height",node="bitcoin",statistic="median",unit="blocks"} 9.0'
        in text
    )
    assert 'node="a\\"\\\\b",statistic="sum",unit=""} 1.5' in text
    assert text.count('statistic="sum"') == 1, "whether a gauge adds up is unknown"
