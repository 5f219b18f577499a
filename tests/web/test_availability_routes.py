"""Availability, by a real agent over HTTP, over a restart, in the terminal and in its metrics."""

import time
from pathlib import Path

import httpx
import pytest

from command_line import CommandLine
from live import Agent, client, introduce, running, until


@pytest.fixture(scope="module")
def seen(agent: Agent) -> Agent:
    """The agent has watched for a second."""
    time_up = time.monotonic() + 1.2
    until(lambda: time.monotonic() > time_up, "a second is over")
    return agent


def test_the_network_its_regions_and_its_peers_have_a_row_each(web: httpx.Client, seen: Agent) -> None:
    rows = web.get("/api/v1/availability").json()
    assert [(row["scope"], row["id"]) for row in rows] == [
        ("network", "network"),
        ("region", "eu-west"),
        ("peer", seen.peer_id),
    ]
    for row in rows:
        assert (row["up_ratio"], row["down_s"], row["planned_s"], row["peers"]) == (1.0, 0.0, 0.0, 1)
        assert row["up_s"] >= 0.9
        assert row["up_s"] + row["unknown_s"] == pytest.approx(row["window_s"], abs=0.01)
        assert row["since"] == pytest.approx(time.time() - 86_400, abs=60)


def test_rows_are_chosen_by_peer_and_region_and_come_in_pages(web: httpx.Client, seen: Agent) -> None:
    (row,) = web.get("/api/v1/availability", params={"peer": seen.peer_id[:9], "since": "1h"}).json()
    assert (row["id"], row["region"]) == (seen.peer_id, "eu-west")
    rows = web.get("/api/v1/availability", params={"region": "eu-west"}).json()
    assert [row["scope"] for row in rows] == ["region", "peer"]
    first = web.get("/api/v1/availability", params={"limit": 2})
    assert [row["scope"] for row in first.json()] == ["network", "region"]
    assert [row["scope"] for row in web.get(first.links["next"]["url"]).json()] == ["peer"]


@pytest.mark.parametrize(
    ("query", "status", "words"),
    [
        ({"peer": "00000000"}, 404, "no peer '00000000'"),
        ({"region": "mars"}, 404, "no region 'mars'"),
        ({"since": "soon"}, 400, "since is 'soon'"),
        ({"since": "40d"}, 400, "verdicts are kept for 31 days"),
        ({"limit": "0"}, 400, "limit is"),
    ],
)
def test_what_cannot_be_answered_is_refused(web: httpx.Client, query: dict[str, str], status: int, words: str) -> None:
    answer = web.get("/api/v1/availability", params=query)
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")
    assert words in answer.json()["detail"]


def test_an_agent_without_a_history_says_so(tmp_path: Path) -> None:
    with running(tmp_path, history={"enabled": False}) as agent, client(agent) as web:
        answer = web.get("/api/v1/availability")
        assert answer.status_code == 404
        assert "history.enabled" in answer.json()["detail"]


def test_time_between_two_runs_of_the_agent_is_unknown_and_a_goodbye_is_left_out(
    tmp_path: Path, peerscope: CommandLine
) -> None:

    def row(web: httpx.Client, peer: str) -> dict[str, float]:
        found: list[dict[str, float]] = web.get("/api/v1/availability", params={"peer": peer}).json()
        return found[0]

    with running(tmp_path) as agent, client(agent) as web:
        left = introduce(agent, 8, left=True)
        until(lambda: row(web, left)["planned_s"] > 0, "the goodbye is noted")
    ended = time.time()
    with running(tmp_path) as agent, client(agent) as web:
        began = time.time()
        until(lambda: row(web, agent.peer_id)["unknown_s"] > 0, "the gap is known")
        found = row(web, agent.peer_id)
        assert found["up_ratio"] == 1.0
        assert found["unknown_s"] <= began - ended + 10
        gone = row(web, left)
        assert (gone["up_ratio"], gone["unknown_s"]) == (None, 0.0)  # it did not come back: the gap is not its own
        assert gone["planned_s"] > 0
        code, said, _ = peerscope("availability", "--since", "1h", "--api", agent.http)
        assert code == 0
        assert agent.peer_id[:10] in said
        assert "100.000%" in said
        code, said, _ = peerscope("availability", "--peer", left, "--api", agent.http)
        assert code == 1
        assert " - " in said


def test_metrics_have_each_window(tmp_path: Path) -> None:
    with running(tmp_path, export={"per_peer": True}, peer={"region": "eu-west"}) as agent, client(agent) as web:

        def refresh() -> bool:
            recorder = agent.monitor.recorder
            assert recorder is not None
            return bool(recorder.availability)

        until(lambda: agent.loop.call(refresh), "availability is read")
        text = web.get("/metrics").text
    for window in ("1h", "24h", "7d", "30d"):
        assert f'peerscope_network_availability_ratio{{window="{window}"}} 1.0' in text
        assert f'peerscope_region_availability_ratio{{region="eu-west",window="{window}"}} 1.0' in text
        assert f'peerscope_peer_availability_ratio{{subject="{agent.peer_id[:16]}",window="{window}"}} 1.0' in text
        assert f'peerscope_network_availability_seconds{{state="down",window="{window}"}} 0.0' in text
