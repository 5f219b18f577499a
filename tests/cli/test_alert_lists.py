"""Lists of alerts in the terminal: new and grave first, equal alerts one line, and no grave one out of sight."""

import io
import random
from typing import Any

from rich.console import Console

from peerscope.cli.alert_lists import alert_table, causes, fold, gravest_first
from peerscope.cli.look import ALONE_MAX, _show_alerts
from peerscope.top.feed import NetworkSummary
from peerscope.top.tables import ALERTS, INCIDENTS, cells, chosen

NOW = 1_700_000_000.0


def alert(rule: str, number: int, severity: str = "high", age_s: float = 10.0, **values: Any) -> dict[str, Any]:
    fields = {
        "id": f"{rule}-{number:016x}",
        "rule": rule,
        "title": f"{rule} is wrong",
        "severity": severity,
        "state": "firing",
        "peer_id": f"{number:02x}" * 32,
        "region": "eu-west",
        "started_at": NOW - age_s,
        "started_age_s": age_s,
        "resolved_at": None,
        "flapping": False,
        "clearing": False,
        "confirmed_by": [],
        "silenced_by": None,
        "acknowledged_by": None,
        "incident": None,
        "description": "97 % busy",
    }
    return fields | values


BUSY = [alert("cpu-high", n, age_s=60.0 - n) for n in range(12)]
DOWN = [alert("peer-down", 100 + n, age_s=300.0 + n) for n in range(3)]


def printed(*tables: Any) -> str:
    text = io.StringIO()
    console = Console(file=text, width=120)
    for table in tables:
        console.print(table)
    return text.getvalue()


def test_twelve_equal_alerts_are_one_line_and_do_not_bury_three_others() -> None:
    mixed = [*BUSY, *DOWN]
    random.Random(1).shuffle(mixed)
    said = printed(alert_table(fold(gravest_first(mixed)))).splitlines()
    assert len(said) == 3
    assert said[1].split()[:3] == ["high", "×12", "cpu-high"]
    assert "0b0b0b0b0b, 0a0a0a0a0a and 10 more" in said[1]
    assert said[2].split()[:3] == ["high", "×3", "peer-down"]
    assert len(printed(alert_table([[one] for one in mixed])).splitlines()) == 16, "with --each"


def test_the_gravest_come_first_then_the_newest_and_those_that_are_over_last() -> None:
    found = [
        alert("a", 1, "low", 1.0),
        alert("b", 2, "critical", 500.0),
        alert("c", 3, "critical", 5.0),
        alert("d", 4, "critical", 1.0, state="resolved", resolved_at=NOW, resolved_age_s=0.0),
    ]
    assert [one["rule"] for one in gravest_first(found)] == ["c", "b", "a", "d"]


def test_alerts_that_differ_in_what_an_operator_did_or_in_severity_are_not_folded() -> None:
    found = [
        alert("cpu-high", 1),
        alert("cpu-high", 2, acknowledged_by="ann"),
        alert("cpu-high", 3, silenced_by="0011"),
        alert("cpu-high", 4, "critical"),
        alert("cpu-high", 5, clearing=True),
    ]
    assert len(fold(found)) == 5


def test_status_shows_incidents_and_the_gravest_alerts_outside_of_them() -> None:
    text = io.StringIO()
    incidents = [
        {"id": "a-1", "severity": "high", "title": "old", "started_at": NOW - 900, "state": "open"},
        {"id": "b-1", "severity": "critical", "title": "grave", "started_at": NOW - 1000, "state": "open"},
        {"id": "c-1", "severity": "high", "title": "new", "started_at": NOW - 5, "state": "open"},
    ]
    inside = [alert("memory-high", 50 + n, incident="a-1") for n in range(4)]
    others = [alert(f"rule-{n}", 200 + n, "low") for n in range(ALONE_MAX)]
    _show_alerts(Console(file=text, width=120), [*BUSY, *DOWN, *inside, *others], incidents, 3)
    said = text.getvalue().splitlines()
    assert [line.split()[-1] for line in said if "incident" in line] == ["grave", "new", "old"]
    lines = [line for line in said if line.startswith("  alert")]
    assert [line.split()[2:4] for line in lines[:2]] == [["×12", "cpu-high"], ["×3", "peer-down"]]
    assert len(lines) == ALONE_MAX
    assert said[-1].strip() == "and 2 more: see peerscope alerts"
    assert "memory-high" not in text.getvalue()


def test_an_incident_shows_its_cause_evidence_and_history_and_that_of_an_older_agent_too() -> None:
    old = {"kind": "cascade", "root": "ab" * 32, "confidence": 0.8}
    assert causes(old) == [("cause", "Probable cause: a cascade that began at ababababab, 80% sure.")]
    new = {
        "kind": "host",
        "root": None,
        "confidence": 0.9,
        "alternatives": [
            {"kind": "host", "root": None, "probability": 0.6},
            {"kind": "cascade", "root": None, "probability": 0.3},
        ],
        "evidence": ["One machine.", "No order along links."],
        "first_step": "Log in.",
        "split_from": "pattern-1",
        "merged": ["pattern-2"],
        "was": "pattern",
    }
    assert causes(new) == [
        ("cause", "Either a machine that these peers share (60%) or a cascade (30%)."),
        ("evidence", "One machine."),
        ("", "No order along links."),
        ("do first", "Log in."),
        ("split from", "pattern-1"),
        ("holds too", "pattern-2"),
        ("was", "pattern"),
    ]


def test_top_folds_equal_alerts_and_shows_each_one_while_a_word_is_searched_for() -> None:
    network = NetworkSummary()
    network.alerts = {one["id"]: one for one in [*BUSY, *DOWN, alert("disk", 7, "critical", 900.0)]}
    rows, found = chosen(ALERTS, network, "", ALERTS.sort, False)
    assert found == 16
    assert [(row["rule"], row["count"]) for row in rows] == [("disk", 1), ("cpu-high", 12), ("peer-down", 3)]
    assert [str(cell) for cell in cells(ALERTS, rows[1], NOW)][1:3] == [
        "×12 cpu-high is wrong",
        "0b0b0b0b0b and 11 more",
    ]
    rows, found = chosen(ALERTS, network, "peer-down", ALERTS.sort, False)
    assert (len(rows), found) == (3, 3)
    ages = [NOW - row["started_at"] for row in rows]
    assert ages == sorted(ages)


def test_incidents_in_top_are_ordered_like_alerts() -> None:
    network = NetworkSummary()
    incidents = [
        {"id": name, "severity": severity, "state": "open", "title": name, "kind": "host", "started_at": NOW - age_s}
        for name, severity, age_s in (("a", "high", 900.0), ("b", "critical", 900.0), ("c", "high", 5.0))
    ]
    network.facts = {"trouble": {"incidents": incidents}}
    assert [row["id"] for row in chosen(INCIDENTS, network, "", INCIDENTS.sort, False)[0]] == ["b", "c", "a"]
