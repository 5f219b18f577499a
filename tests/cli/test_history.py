"""The verb `history`: a line of blocks, numbers with units, and the same from a state directory without its agent."""

import json
import time
from pathlib import Path

import pytest

from histories import PEERS
from live import Agent
from peerscope.cli.history import narrowed, with_unit
from peerscope.cli.text import sparkline
from peerscope.history.measures import MeasureKey
from peerscope.history.retention import HistoryConfig
from peerscope.history.samples import sample
from peerscope.history.series import NO_ROW
from peerscope.history.store import Store
from peerscope.host.state import StateDirectory


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """Of an agent that ran two minutes ago, for a minute, and saw another peer."""
    me, at = StateDirectory(tmp_path).identity().peer_id, int(time.time()) // 60 * 60 - 120
    with Store(tmp_path / "history.db", HistoryConfig()) as store:
        rows = [[(value,) * len(NO_ROW), (8.0,) * len(NO_ROW)] for value in (0.25, 0.5, 0.75)]
        network = (2.0,) * 9
        for number, row in enumerate(rows):
            store.write([sample(at + 20 * number, [me, PEERS[0]], ["healthy", "down"], row, network)])
    return tmp_path


def test_a_line_of_blocks_shows_gaps_and_shares_columns() -> None:
    values = [0.0, 1.0, None, 3.5, 7.0]
    assert sparkline(narrowed([[at, value] for at, value in enumerate(values)], 80)) == "▁▂·▅█"
    assert sparkline(narrowed([[0, 2.0], [1, 2.0]], 80)) == "▁▁"
    samples = [[0, 0.0], [1, 2.0], [2, None], [3, 8.0], [4, None], [5, None]]
    assert sparkline(narrowed(samples, 3)) == "▁█·"
    assert len(narrowed([[at, float(at)] for at in range(2000)], 80)) <= 80


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (0.1234, "ratio", "12.34%"),
        (0.0123, "seconds", "12.3 ms"),
        (3 * 2**20, "bytes", "3.0 MiB"),
        (1536, "bytes/s", "1.5 KiB/s"),
        (12, "bytes", "12 bytes"),
        (2.5, "1/s", "2.5/s"),
        (8, "count", "8"),
        (8, "blocks", "8 blocks"),
        (1, "status", "degraded"),
    ],
)
def test_numbers_have_their_unit(value: float, unit: str, text: str) -> None:
    assert with_unit(value, unit) == text


def test_a_state_directory_answers_without_its_agent(peerscope, state: Path) -> None:
    code, said, complaint = peerscope("history", "cpu_ratio", "--state", str(state), "--since", "10m")
    assert (code, complaint) == (0, "")
    title, line, _, numbers = said.splitlines()
    assert title.startswith("cpu_ratio of ")
    assert line.replace("·", "") == "▁▅█"
    assert "min 25.00%   mean 50.00%   max 75.00%   last 75.00%   no data in 1" in numbers
    code, said, _ = peerscope("history", "status", "--peer", PEERS[0].hex()[:6], "--state", str(state), "--json")
    found = json.loads(said)
    assert (code, found["peer_id"]) == (0, PEERS[0].hex())
    assert [value for _, value in found["samples"] if value is not None] == [3.0] * 3


def test_a_running_agent_is_asked(peerscope, agent: Agent) -> None:
    def take() -> None:
        recorder = agent.monitor.recorder
        assert recorder is not None
        recorder.take(recorder.sample(int(time.time()) // 5 * 5))

    agent.loop.call(take)
    code, said, complaint = peerscope("history", "network_peers", "--since", "5m", "--api", agent.http)
    assert (code, complaint) == (0, "")
    assert "network_peers, steps of 5 s" in said
    assert "last 1" in said
    code, said, _ = peerscope("history", "node_tunnels", "--api", agent.http)
    assert code == 1  # no node
    assert "no data in this time" in said


def test_the_series_are_named(peerscope) -> None:
    code, said, _ = peerscope("history", "--list")
    assert code == 0
    assert "link_rtt_s_max" in said
    assert "measure:NAME" in said
    assert "measure_median:NAME" in said
    assert {one["name"] for one in json.loads(peerscope("history", "--list", "--json")[1])} > {
        "cpu_ratio",
        "network_peers",
    }


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "--list"),
        (("cpu_ratio", "--state", "STATE", "--since", "soon"), "--since is 'soon'"),
        (("cpu_ratio", "--state", "STATE", "--step", "0s"), "--step is '0s'"),
        (("nonsense", "--state", "STATE"), "no series 'nonsense'; there are: status"),
        (("block_height", "--state", "STATE"), "a value that nodes name themselves is measure:block_height"),
        (("Block height", "--state", "STATE"), "a value that nodes name themselves is measure:NAME"),
        (("cpu_ratio", "--state", "STATE", "--peer", "ffff"), "0 peers in"),
        (("network_peers", "--state", "STATE", "--peer", "01"), "without --peer"),
        (("cpu_ratio", "--state", "STATE/none"), "no such file"),
    ],
)
def test_a_mistake_is_told_in_one_line(peerscope, state: Path, arguments: tuple[str, ...], words: str) -> None:
    code, said, complaint = peerscope("history", *(one.replace("STATE", str(state)) for one in arguments))
    assert (code, said) == (2, "")
    assert words in complaint.splitlines()[-1]


def test_a_measure_that_no_peer_has_is_called_so(peerscope, agent: Agent, state: Path) -> None:
    for name in ("measure:nope", "measure_median:nope"):
        for where in (("--api", agent.http), ("--state", str(state))):
            code, said, _ = peerscope("history", name, *where)
            assert (code, "no peer has a measure of this name" in said) == (1, True)


def test_a_measure_that_a_peer_has_is_not_called_unknown(peerscope, tmp_path: Path) -> None:
    at = int(time.time()) // 60 * 60 - 7200
    me = StateDirectory(tmp_path).identity().peer_id
    with Store(tmp_path / "history.db", HistoryConfig()) as store:
        values = [{MeasureKey("toy", "height", "blocks", False): 7.0}]
        store.write([sample(at, [me], ["healthy"], [NO_ROW], (1.0,) * 9, values)])
    code, said, _ = peerscope("history", "measure:height", "--state", str(tmp_path), "--since", "10m")
    assert (code, said.endswith("no data in this time\n")) == (1, True)
    assert "last 7 blocks" in peerscope("history", "measure:height", "--state", str(tmp_path), "--since", "5h")[1]
    assert "no peer has" in peerscope("history", "measure:height@other", "--state", str(tmp_path))[1]
