"""The order to leave for planned work, and how another agent sees it."""

from pathlib import Path

import httpx
import pytest

from command_line import CommandLine
from live import Agent, client, running, until


@pytest.mark.parametrize(
    ("order", "words"),
    [
        ({}, "reason"),
        ({"reason": ""}, "reason"),
        ({"reason": "a\nb"}, "printable"),
        ({"reason": "x", "for_s": 0}, "for_s"),
        ({"reason": "x", "for_s": 1e12}, "for_s"),
        ({"reason": "x", "more": 1}, "more"),
    ],
)
def test_an_order_that_cannot_be_is_refused_and_nothing_leaves(
    web: httpx.Client, agent: Agent, order: dict[str, object], words: str
) -> None:
    answer = web.post("/api/v1/leave", json=order, headers={"X-Peerscope": "1"})
    assert answer.status_code == 400
    assert words in answer.json()["detail"]
    assert not agent.loop.call(agent.monitor.leaving.is_set)


def test_without_the_token_nobody_lets_an_agent_leave(guarded: Agent) -> None:
    with client(guarded) as asking:
        assert asking.post("/api/v1/leave", json={"reason": "x"}, headers={"X-Peerscope": "1"}).status_code == 401
    assert not guarded.loop.call(guarded.monitor.leaving.is_set)


def test_another_agent_sees_the_planned_absence_and_counts_no_downtime(tmp_path: Path, peerscope: CommandLine) -> None:
    with running(tmp_path / "one") as one, client(one) as web:
        ticket = web.get("/api/v1/self").json()["ticket"]
        with running(tmp_path / "two", peer={"join": [ticket]}) as two:
            until(lambda: len(web.get("/api/v1/peers").json()) == 2, "both know each other")
            until(lambda: "alive" in _row(web, two.peer_id)["by_verdict"], "it counts")
            code, said, _ = peerscope("leave", "--reason", "disk swap", "--for", "2h", "--api", two.http)
            assert code == 0
            assert said == f"peer {two.peer_id[:10]} leaves for 2 h, as planned: disk swap\n"
            until(lambda: two.loop.call(two.monitor.leaving.is_set), "its owner hears it")
        until(lambda: web.get(f"/api/v1/peers/{two.peer_id}").json()["verdict"] == "left", "it has left")
        planned = web.get(f"/api/v1/peers/{two.peer_id}").json()["planned"]
        assert (planned["reason"], planned["is_overdue"]) == ("disk swap", False)
        assert 7000 < planned["ends_in_s"] <= 7200
        until(lambda: _row(web, two.peer_id)["planned_s"] > 0, "it is planned")
        row = _row(web, two.peer_id)
        assert (row["down_s"], row["up_ratio"]) == (0.0, 1.0)
        assert "planned" in row["by_verdict"]
        said = peerscope("peer", two.peer_id[:10], "--api", one.http)[1]
        assert "as planned: disk swap; back within" in said


def _row(web: httpx.Client, peer: str) -> dict:  # type: ignore[type-arg]
    found: dict = web.get("/api/v1/availability", params={"peer": peer}).json()[0]  # type: ignore[type-arg]
    return found
