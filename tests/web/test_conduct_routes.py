"""Neighbours that misbehave, by a real agent over HTTP."""

import httpx

from live import Agent
from peerscope.records.identity import PeerId

MALLORY = PeerId(b"m" * 32)


def test_nobody_is_listed_who_behaves_and_whoever_does_not_is_with_its_reasons(web: httpx.Client, agent: Agent) -> None:
    assert web.get("/api/v1/conduct").json() == []
    conducts = agent.monitor.peer.reputations

    def misbehave() -> None:
        for _ in range(13):
            conducts.blame(MALLORY, "forged", agent.monitor.snapshot().now)

    agent.loop.call(misbehave)
    (found,) = web.get("/api/v1/conduct").json()
    assert 0 < found.pop("banned_s") <= 60
    assert found == {"peer_id": MALLORY.hex(), "score": 0.0, "state": "banned", "reasons": {"forged": 13}}
