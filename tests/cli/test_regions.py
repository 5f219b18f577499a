"""The verbs of regions and latency: in JSON and for people, with the exit code that scripts rely on."""

import json

import pytest

from latencies import settle
from ledgers import Book
from live import Agent, until
from peerscope.cli import network as verbs
from peerscope.records.identity import Identity, short

FLEET = tuple(sorted((Identity(bytes((number,)) * 32) for number in range(190, 196)), key=lambda one: one.peer_id))
IDS = [identity.peer_id.hex() for identity in FLEET]
GUESS = f"~{short(FLEET[2].peer_id)}"
MARKUP = "[red]x[/red]"


@pytest.fixture(scope="module")
def fleet(agent: Agent) -> None:
    """Peers that the agent has heard of: two in asia, linked with each other, and two far away by latency alone."""
    book = Book(agent.monitor.peer.ledger, FLEET)

    def fill() -> None:
        now = agent.monitor.snapshot().now
        settle(book, 0, 0.0, 1, region="asia", rtt_us=3000, at=now)
        settle(book, 1, 40.0, 0, region="asia", rtt_us=3000, at=now)
        settle(book, 2, 100.0, started_s=1, at=now)
        settle(book, 3, 101.0, started_s=2, at=now)
        settle(book, 4, None, region="asia", at=now)

    agent.loop.call(fill)
    until(lambda: len(agent.loop.call(agent.monitor.peers)) == 6, "the agent looks at its ledger again")


def test_regions_for_scripts_and_for_people(peerscope, agent: Agent, fleet: None) -> None:
    code, said, complaint = peerscope("regions", "--json", "--api", agent.http)
    assert (code, complaint) == (0, "")
    assert [(one["region"], one["source"]) for one in json.loads(said)] == [
        (MARKUP, "declared"),
        ("asia", "declared"),
        (GUESS, "latency"),
    ]
    code, said, _ = peerscope("regions", "--api", agent.http)
    assert code == 0
    lines = {line.split()[0]: line for line in said.splitlines()}
    assert "3 of 3" in lines["asia"]
    assert "guess" in lines[GUESS]
    assert "guess" not in lines["asia"]
    assert MARKUP in said


def test_a_guess_is_named_as_one_beside_the_peer(peerscope, agent: Agent, fleet: None) -> None:
    said = peerscope("peer", IDS[2][:10], "--api", agent.http)[1]
    assert f"{GUESS} (a guess, by latency)" in said
    assert "guess" not in peerscope("peer", IDS[0][:10], "--api", agent.http)[1]


def test_latency_is_a_matrix_and_estimates_are_marked(peerscope, agent: Agent, fleet: None) -> None:
    code, said, _ = peerscope("latency", "--api", agent.http)
    assert code == 0
    lines = {line.split()[0]: line for line in said.splitlines()}
    assert "3.0 / 3.0" in lines["asia"]
    assert "~3.0" not in lines["asia"]
    assert "~80.5 / 101.0" in lines["asia"]  # to the guess, by coordinates alone
    assert lines[MARKUP].split()[1:] == ["-", "-", "-"]
    code, said, _ = peerscope("latency", "--json", "--api", agent.http)
    assert code == 0
    assert len(json.loads(said)["pairs"]) == 6


def test_many_regions_are_listed_pair_by_pair(
    peerscope, agent: Agent, fleet: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verbs, "COLUMNS_MAX", 2)
    said = peerscope("latency", "--api", agent.http)[1]
    assert [line.split()[:2] for line in said.splitlines() if line.startswith("asia")] == [
        ["asia", "asia"],
        ["asia", GUESS],
    ]


def test_rtt_tells_measured_estimated_and_unknown_by_words_and_exit_code(peerscope, agent: Agent, fleet: None) -> None:
    for ends, code, words in (
        (IDS[0:2], 0, "3.0 ms, measured, 0.0% loss"),
        (IDS[0:3:2], 0, "~100.0 ms, estimated; their coordinates are off by 10% and 10%"),
        (IDS[0:5:4], 1, f"unknown: no link, and peer {IDS[4][:10]} has no coordinate"),
    ):
        found = peerscope("rtt", *(end[:12] for end in ends), "--api", agent.http)
        assert found == (code, f"{ends[0][:10]} - {ends[1][:10]}  {words}\n", "")
        found_code, said, _ = peerscope("rtt", *ends, "--json", "--api", agent.http)
        told = json.loads(said)
        assert (found_code, told["source"], told["target"]) == (code, *ends)


def test_rtt_with_a_stranger_is_one_line(peerscope, agent: Agent, fleet: None) -> None:
    code, said, complaint = peerscope("rtt", IDS[0], "00000000", "--api", agent.http)
    assert (code, said, len(complaint.splitlines())) == (2, "", 1)
    assert "peerscope peers" in complaint
