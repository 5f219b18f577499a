"""The verb of metrics: in JSON and for people."""

import json
from pathlib import Path

import pytest
from rich.console import Console

from live import Agent, client, running, until
from peerscope.cli.metrics import lines, measure_text, written
from peerscope.cli.sections import Section, show_sections
from peerscope.views.aggregates import Distribution
from peerscope.views.window import METRICS


def test_metrics_for_scripts_and_for_people(peerscope, agent: Agent) -> None:
    code, said, complaint = peerscope("metrics", "--json", "--api", agent.http)
    assert (code, complaint) == (0, "")
    assert json.loads(said)["active_peers"] == 1
    code, said, _ = peerscope("metrics", "--api", agent.http)
    assert code == 0
    table = {line.split()[0]: line for line in said.splitlines()}
    assert table["memory_ratio"].count("%") == 4  # and no sum
    assert "MiB" in table["rss_bytes"]
    assert "no data" in table["node:"]
    assert "unknown: needs half an hour" in said


def test_a_peer_shows_what_it_measured(peerscope, agent: Agent) -> None:
    said = peerscope("peer", agent.peer_id[:12], "--api", agent.http)[1]
    parts = {line.split()[0]: line for line in said.splitlines() if line.strip()}
    assert "memory total" in parts["system"]
    assert "rss" in parts["agent"]
    assert "  node        no node attached\n" in said


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("cpu_ratio", 0.1234, "12.3%"),
        ("received_bytes_s", 2048, "2.0 KiB/s"),
        ("rss_bytes", 62_222_336, "59.3 MiB"),
        ("memory_total_bytes", 5 * 2**40, "5.0 TiB"),
        ("average_latency_s", 0.0034, "3.4 ms"),
        ("lag_s", 1.5, "1.5 s"),
        ("messages_s", 12345.678, "12,345.68/s"),
        ("connections", 1234, "1,234"),
        ("connections", None, "-"),
    ],
)
def test_a_value_is_written_in_the_unit_of_its_name(name: str, value: float | None, text: str) -> None:
    assert written(name, value) == text


def test_a_trend_says_that_its_numbers_are_means_of_hours(peerscope, agent: Agent) -> None:
    said = peerscope("metrics", "--api", agent.http)[1]
    trends = [line for line in said.splitlines() if line.startswith("trend of")]
    assert len(trends) == 3
    assert all("mean of the last hour" in line and " now " not in line for line in trends)


def test_unknown_values_and_parts_are_not_mentioned() -> None:
    parts = {"system": {"cpu_ratio": 0.5, "connections": None}, "node": None, "performance": {"error_ratio": None}}
    assert lines({**parts, "agent": {"rss_bytes": 1024}}) == [("system", "cpu 50.0%"), ("agent", "rss 1.0 KiB")]


def test_every_measure_can_be_written() -> None:
    assert all(written(measure.name, 1.5) not in ("", "-") for measure in METRICS)
    assert Distribution.__struct_fields__ == ("peers", "mean", "median", "p95", "peak", "sum")


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (912_345, "blocks", "912,345 blocks"),
        (0.97312, "ratio", "97.3%"),
        (2**20, "bytes", "1.0 MiB"),
        (0.25, "seconds", "250.0 ms"),
        (-3, "seconds", "-3 s"),
        (1.5e300, "", "1.5e+300"),
        (7, "", "7"),
    ],
)
def test_a_measure_is_written_in_the_unit_that_the_node_gives(value: float, unit: str, text: str) -> None:
    assert measure_text({"value": value, "unit": unit}) == text


def test_measures_of_a_node_are_shown_by_every_verb_about_it(peerscope, tmp_path: Path) -> None:
    with running(tmp_path, report={"interval_s": 0.2, "calm_intervals": 1}) as agent, client(agent) as asking:
        event = {"type": "gauge", "name": "block_height", "value": 912_345, "unit": "blocks"}
        assert asking.post("/api/v1/telemetry", json=event).is_success
        until(lambda: "block_height" in asking.get("/api/v1/metrics").text, "the report has the measure")
        for words in (("node",), ("peer", agent.peer_id)):
            said = peerscope(*words, "--api", agent.http)[1]
            assert "block_height" in said
            assert "912,345 blocks" in said
        rows = [line.split() for line in peerscope("metrics", "--api", agent.http)[1].splitlines()]
        assert ["lowest", "median", "highest", "nodes"] in rows
        assert ["block_height", "[blocks]", *["912,345"] * 3, "1"] in rows


SECTIONS = [Section("performance of the mesh, without a node", [("throughput_bytes_s", ["1023 bytes/s"] * 6)])]


@pytest.mark.parametrize("width", [20, 80, 90, 120])
def test_no_number_is_cut_however_narrow_the_terminal_is(width: int, capsys: pytest.CaptureFixture[str]) -> None:
    show_sections(Console(width=width), ("mean", "median", "p95", "peak", "sum", "peers"), SECTIONS, ("mean", "p95"))
    said = capsys.readouterr().out
    left_out = 0 if width >= 120 else 1 if width == 90 else 2
    assert said.count("1023 bytes/s") == 6 - left_out
    assert "…" not in said
    assert ("not shown at" in said) == bool(left_out)
    if width >= 80:
        assert max(map(len, said.splitlines())) <= width


def test_tables_of_numbers_are_whole_at_eighty_columns(
    peerscope, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    with running(tmp_path, report={"interval_s": 0.2, "calm_intervals": 1}) as agent, client(agent) as asking:
        for name, value, unit in (
            ("block_height", 912_345, "blocks"),
            ("cache", 5 * 2**30, "bytes"),
            ("a" * 48, 1.5, "x" * 16),
        ):
            assert asking.post(
                "/api/v1/telemetry", json={"type": "gauge", "name": name, "value": value, "unit": unit}
            ).is_success
        until(lambda: "a" * 48 in asking.get("/api/v1/metrics").text, "the report has the measures")
        said = peerscope("metrics", "--api", agent.http)[1]
    assert "…" not in said
    tables, _, _ = said.partition("trend of")
    assert max(map(len, tables.splitlines())) <= 80
    assert ["cache", "5.0", "GiB", "5.0", "GiB", "5.0", "GiB", "1"] in [line.split() for line in tables.splitlines()]
    assert f"  {'a' * 48} [{'x' * 16}]" in tables
