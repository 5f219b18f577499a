"""The verbs of alerting against a real agent whose rules are always broken."""

import io
import json
from collections.abc import Iterator

import msgspec
import pytest
from rich.console import Console

from live import Agent, introduce, running, until
from peerscope.alerts.rules import default_rules
from peerscope.cli.alerts import _condition, drawn

BROKEN = {name: {"threshold": -1.0, "for_s": 0.0} for name in ("cpu-high", "memory-high", "storage-high")}


@pytest.fixture(scope="module")
def alarmed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Agent]:
    sections = {"alerts": {"rules": BROKEN}, "peer": {"region": "[red]x[/red]"}, "report": {"interval_s": 0.5}}
    with running(tmp_path_factory.mktemp("alarmed"), **sections) as agent:
        until(lambda: len(agent.loop.call(agent.monitor.incidents)) == 1, "three alerts at one peer are an incident")
        yield agent


def test_alerts_for_people_and_for_scripts(peerscope, alarmed: Agent) -> None:
    code, said, complaint = peerscope("alerts", "--api", alarmed.http)
    assert (code, complaint) == (0, "")
    (line,) = [line for line in said.splitlines() if "cpu-high" in line]
    assert line.split()[:4] == ["high", "cpu-high", alarmed.peer_id[:10], "firing"]
    found = json.loads(peerscope("alerts", "--json", "--severity", "high", "--api", alarmed.http)[1])
    assert {"cpu-high", "memory-high", "storage-high"} <= {one["rule"] for one in found}
    assert peerscope("alerts", "--severity", "critical", "--api", alarmed.http)[1] == "no alerts\n"
    assert len(json.loads(peerscope("alerts", "--json", "--region", "[red]x[/red]", "--api", alarmed.http)[1])) >= 3


def test_every_rule_is_listed_with_what_to_look_at_first(peerscope, alarmed: Agent) -> None:
    said = peerscope("alerts", "--rules", "--api", alarmed.http)[1]
    for rule in default_rules():
        assert rule.name in said
        assert rule.runbook[:40] in said
    assert any(line.split() == ["when", "cpu_ratio", "above", "-1"] for line in said.splitlines())


def test_tables_fit_eighty_columns(peerscope, alarmed: Agent, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    for verb in (("alerts",), ("alerts", "--rules"), ("incidents",), ("status",)):
        said = peerscope(*verb, "--api", alarmed.http)[1]
        assert max(len(line) for line in said.splitlines() if "ticket" not in line) <= 80, said


def test_an_incident_names_its_root_and_extent(peerscope, alarmed: Agent) -> None:
    code, said, _ = peerscope("incidents", "--api", alarmed.http)
    assert code == 0
    assert f"Peer {alarmed.peer_id[:10]}: " in said
    assert "1 cpu-high, 1 memory-high, 1 storage-high" in said
    (found,) = json.loads(peerscope("incidents", "--json", "--all", "--api", alarmed.http)[1])
    assert found["root"] == alarmed.peer_id


def test_a_silence_from_beginning_to_end(peerscope, alarmed: Agent) -> None:
    code, said, _ = peerscope("silence", "rule=cpu-*", "--for", "2h", "--reason", "we [b]know", "--api", alarmed.http)
    assert code == 0
    name = said.split()[1]
    assert said == f"silence {name} holds for 2 h; end it with `peerscope unsilence {name}`\n"
    until(lambda: name in peerscope("silences", "--api", alarmed.http)[1], "it holds")
    said = peerscope("silences", "--api", alarmed.http)[1]
    assert "rule=cpu-*" in said
    assert "we [b]know" in said
    assert f"silenced {name}" in peerscope("alerts", "--api", alarmed.http)[1]
    assert peerscope("unsilence", name[:4], "--api", alarmed.http)[:2] == (0, f"silence {name} is over\n")
    until(lambda: peerscope("silences", "--api", alarmed.http)[1] == "no silences\n", "it is over")


def test_a_maintenance_window_is_ordered_and_listed(peerscope, alarmed: Agent) -> None:
    when = ("--begin", "02:30", "--rrule", "FREQ=WEEKLY;BYDAY=SU", "--tz", "Europe/Berlin")
    code, said, _ = peerscope("silence", "rule=cpu-high", "--for", "2h", "--reason", "r", *when, "--api", alarmed.http)
    assert code == 0
    name = said.split()[1]
    assert said.startswith(f"silence {name} holds for 2 h from 20")
    assert "repeats by FREQ=WEEKLY;BYDAY=SU" in said
    until(lambda: name in peerscope("silences", "--api", alarmed.http)[1], "it is listed")
    said = peerscope("silences", "--api", alarmed.http)[1]
    assert "FREQ=WEEKLY;BYDAY=SU (Europe/Berlin)" in said
    assert ", for 2 h, from 20" in said
    assert peerscope("unsilence", name, "--api", alarmed.http)[0] == 0
    until(lambda: peerscope("silences", "--api", alarmed.http)[1] == "no silences\n", "it is over")


def test_a_peer_is_forgotten_from_beginning_to_end(peerscope, alarmed: Agent) -> None:
    peer = introduce(alarmed, 73)
    code, _, complaint = peerscope("forget", peer[:12], "--reason", "sold", "--api", alarmed.http)
    assert code == 2
    assert f"{peer[:10]} is alive, not gone for good" in complaint
    code, said, _ = peerscope("forget", peer[:12], "--reason", "[b]sold", "--force", "--api", alarmed.http)
    assert (code, said) == (
        0,
        f"{peer[:10]} is forgotten until its next record; `peerscope forget --undo {peer[:10]}`\n",
    )
    until(lambda: peer[:10] in peerscope("forgotten", "--api", alarmed.http)[1], "it is listed")
    assert "[b]sold" in peerscope("forgotten", "--api", alarmed.http)[1]
    assert [one["id"] for one in json.loads(peerscope("forgotten", "--json", "--api", alarmed.http)[1])] == [peer]
    until(lambda: peer[:10] not in peerscope("peers", "--api", alarmed.http)[1], "nobody knows it")
    code, said, _ = peerscope("forget", "--undo", peer[:10], "--api", alarmed.http)
    assert (code, said) == (0, f"{peer[:10]} is no longer forgotten\n")
    until(lambda: peerscope("forgotten", "--api", alarmed.http)[1] == "no forgotten peers\n", "it is taken back")
    assert peerscope("forget", "--undo", "no/hex", "--api", alarmed.http)[0] == 2


def test_somebody_looks_after_an_alert(peerscope, alarmed: Agent) -> None:
    name = f"memory-high-{alarmed.peer_id[:16]}"
    code, said, _ = peerscope("ack", "memory-h", "--author", "ann", "--reason", "on it", "--api", alarmed.http)
    assert (code, said) == (0, f"ann acknowledged {name}\n")
    until(lambda: "acknowledged by ann" in peerscope("alerts", "--api", alarmed.http)[1], "the alert says so")


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["silence", "rule=a", "--for", "soon", "--reason", "x"], "'soon' is no duration"),
        (["silence", "rule", "--for", "1h", "--reason", "x"], "'rule' is no matcher: FIELD=VALUE"),
        (["silence", "rule=a", "--for", "90d", "--reason", "x"], "$.for_s"),
        (["silence", "--for", "1h", "--reason", "x"], "Missing argument"),
        (["unsilence", "00112233"], "no silence '00112233' is known"),
        (["unsilence", "../x"], "is no silence"),
        (["ack", "nothing"], "no active alert or open incident 'nothing' is known; `peerscope alerts` lists them"),
    ],
)
def test_mistakes_are_told_in_one_clear_line(peerscope, alarmed: Agent, arguments: list[str], complaint: str) -> None:
    code, said, told = peerscope(*arguments, "--api", alarmed.http)
    assert (code, said) == (2, "")
    assert complaint in told.splitlines()[-1]


def test_status_counts_alerts_and_names_open_incidents(peerscope, alarmed: Agent) -> None:
    said = peerscope("status", "--api", alarmed.http)[1]
    assert "alerts 3 high" in said
    assert f"incident high  Peer {alarmed.peer_id[:10]}: 3 different alerts" in said
    answer = json.loads(peerscope("status", "--json", "--api", alarmed.http)[1])
    assert len(answer["alerts"]) >= 3
    assert len(answer["incidents"]) == 1


def test_a_cascade_is_drawn_as_a_tree_that_ends_somewhere() -> None:
    def node(number: int, parent: int | None) -> dict[str, object]:
        peer = f"{number:064x}"[::-1]
        name = None if parent is None else f"cpu-high-{parent}"
        delay_s = None if parent is None else 3.0
        return {
            "alert_id": f"cpu-high-{number}",
            "peer_id": peer,
            "parent": name,
            "delay_s": delay_s,
            "confidence": 0.5,
        }

    nodes = [node(1, None), node(2, 1), node(3, 2), *(node(number, 1) for number in range(4, 60))]
    console = Console(width=80, record=True, file=io.StringIO())
    console.print(drawn(nodes))
    lines = console.export_text().splitlines()
    assert lines[0].rstrip() == "1000000000 cpu-high"
    assert lines[1].rstrip() == "├── 2000000000 cpu-high  3 s later, 50% sure"
    assert lines[2].rstrip() == "│   └── 3000000000 cpu-high  3 s later, 50% sure"
    assert lines[-1].strip() == "└── and 19 more"


def test_the_condition_of_a_rule_has_the_unit_of_its_measure() -> None:
    rules = [msgspec.to_builtins(rule) for rule in default_rules() if rule.name in ("sync-lag", "block-lag")]
    assert {_condition(rule) for rule in rules} == {
        "block_height more than 5 blocks below the median of the others for 5 min",
        "sync_lag above 5 blocks for 5 min",
    }
