"""The verb that shows the map: for people, for Graphviz, as a picture, as JSON; on the terminal or in a file."""

import json
import os
from pathlib import Path
from xml.etree import ElementTree

import pytest

from ledgers import Book
from live import Agent, until
from maps import join, tell
from peerscope.records.identity import Identity

OTHERS = tuple(sorted((Identity(bytes((number,)) * 32) for number in range(190, 195)), key=lambda one: one.peer_id))
TOKEN = "0123456789abcdef"


@pytest.fixture(scope="module")
def line(agent: Agent) -> list[str]:
    """Three peers that the agent has heard of, linked in a line, the first with a stranger beside its node."""

    def fill() -> None:
        now = agent.monitor.snapshot().now
        book = Book(agent.monitor.peer.ledger, OTHERS)
        for number, others, rtt_us in ((0, (1,), 10_000), (1, (0,), 30_000), (2, (1,), 300_000)):
            join(book, number, at=now, region="[red]x[/red]", node="yggdrasil", node_id=f"ygg{number}")
            tell(book, number, others, rtt_us=rtt_us, at=now, overlay=[("ygg9", None)] if number == 0 else [])

    agent.loop.call(fill)
    until(lambda: len(agent.loop.call(agent.monitor.peers)) == 4, "the agent looks at its ledger again")
    return [identity.peer_id.hex() for identity in OTHERS[:3]]


def test_for_people_it_is_a_table_slowest_first_with_what_splits_the_network(peerscope, agent, line) -> None:
    code, said, complaint = peerscope("topology", "--api", agent.http)
    assert (code, complaint) == (0, "")
    lines = said.splitlines()
    assert lines[0] == "4 peers, 3 links, 1 region, 1 known only as a neighbour"
    slow, fast, unknown = (row.split() for row in lines[2:5])
    assert slow[:5] == [line[1][:10], "[red]x[/red]", line[2][:10], "[red]x[/red]", "mesh"]
    assert slow[5:] == ["300.0", "ms", "-", "300.0", "ms", "0.0%"]
    assert fast[5:] == ["20.0", "ms", "10.0", "ms", "30.0", "ms", "0.0%"]
    assert unknown[2:] == ["ygg9", "not", "monitored", "yggdrasil", "-", "-", "-", "-"]
    assert f"the network splits if {line[1][:10]} fails" in lines
    assert f"the network splits if the link {line[0][:10]} - {line[1][:10]} fails" in lines
    assert "the mesh is in 2 pieces: 3, 1 peers" in lines


def test_no_cell_is_cut_at_eighty_columns(peerscope, agent, line, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    said = peerscope("topology", "--api", agent.http)[1]
    table = said[: said.index("yggdrasil: ")].splitlines()[1:]
    assert "…" not in said
    assert max(map(len, table)) <= 80
    for cell in (line[0][:10], line[1][:10], line[2][:10], "300.0 ms", "20.0 ms", "0.0%"):
        assert any(cell in row for row in table)


def test_json_is_the_answer_of_the_agent(peerscope, agent: Agent, line: list[str]) -> None:
    for flags in (["--json"], ["--format", "json"], ["--json", "--format", "json"]):
        code, said, _ = peerscope("topology", *flags, "--api", agent.http)
        assert code == 0
        assert json.loads(said)["articulation_peers"] == [line[1]]


def test_dot_and_svg_are_documents(peerscope, agent: Agent, line: list[str]) -> None:
    said = peerscope("topology", "--format", "dot", "--api", agent.http)[1]
    assert said.startswith("digraph")
    assert "subgraph" not in said
    assert "subgraph cluster_0" in peerscope("topology", "--format", "dot", "--clusters", "--api", agent.http)[1]
    ElementTree.fromstring(peerscope("topology", "--format", "svg", "--api", agent.http)[1])


@pytest.mark.parametrize("form", ["table", "dot", "svg", "json"])
def test_a_file_is_replaced_whole(peerscope, agent: Agent, line: list[str], tmp_path: Path, form: str) -> None:
    place = tmp_path / "map"
    place.write_text("old")
    code, said, complaint = peerscope("topology", "--format", form, "-o", str(place), "--api", agent.http)
    assert (code, said, complaint) == (0, "", "")
    assert line[1][:6] in place.read_text(encoding="utf-8")
    assert os.listdir(tmp_path) == ["map"]
    mask = os.umask(0o022)
    os.umask(mask)
    assert place.stat().st_mode & 0o777 == 0o666 & ~mask


def test_what_cannot_be_written_is_told_in_one_line_and_leaves_nothing(
    peerscope, agent: Agent, line: list[str], tmp_path: Path
) -> None:
    missing = tmp_path / "nowhere" / "map.svg"
    code, _, complaint = peerscope("topology", "--format", "svg", "-o", str(missing), "--api", agent.http)
    assert (code, complaint.count("\n")) == (2, 1)
    assert f"{missing}: cannot be written: No such file or directory" in complaint
    assert os.listdir(tmp_path) == []


def test_no_answer_leaves_the_file_as_it_was(peerscope, sick: Agent, tmp_path: Path) -> None:
    place = tmp_path / "map.svg"
    place.write_text("old")
    code, _, complaint = peerscope("topology", "--format", "svg", "-o", str(place), "--api", sick.http)
    assert (code, "requires a token" in complaint) == (2, True)
    assert place.read_text() == "old"
    assert peerscope("topology", "--format", "svg", "-o", str(place), "--api", sick.http, "--token", TOKEN)[0] == 0
    assert place.read_text().startswith("<svg")


@pytest.mark.parametrize("flags", [["--clusters"], ["--json", "--format", "dot"], ["--format", "gif"]])
def test_options_that_contradict_are_refused(peerscope, agent: Agent, flags: list[str]) -> None:
    code, said, complaint = peerscope("topology", *flags, "--api", agent.http)
    assert (code, said) == (2, "")
    assert flags[0] in complaint
