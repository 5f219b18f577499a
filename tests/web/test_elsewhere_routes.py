"""Peers of other zones over the API: what a route says when nobody there answers, and when too many ask."""

import time
from concurrent.futures import ThreadPoolExecutor

import httpx

from ledgers import Book
from live import Agent, client
from peerscope.mesh.lookups import OPEN_MAX
from peerscope.records.identity import Identity, ref
from peerscope.records.summary import Summary

SPEAKER = Identity(bytes((201,)) * 32)
UNKNOWN = "00" * 32


def speak(agent: Agent) -> None:
    """A zone has spoken, through one whom nobody can reach."""
    said = Summary("eu/", (ref(SPEAKER.peer_id),), ("127.0.0.1:1",), 60_000, 9, 9, 0, 0, 0, 0)
    Book(agent.monitor.peer.global_ledger, (SPEAKER,)).say(0, said, at=time.monotonic())


def test_an_unknown_id_is_not_looked_for_where_there_is_only_one_zone(web: httpx.Client) -> None:
    answer = web.get(f"/api/v1/peers/{UNKNOWN}")
    assert answer.status_code == 404
    assert "zone" not in answer.json()["detail"]


def test_a_zone_that_does_not_answer_is_named_and_too_many_questions_are_put_off(agent: Agent) -> None:
    agent.loop.call(speak, agent)

    def ask(path: str) -> httpx.Response:
        with client(agent) as asking:
            return asking.get(path)

    paths = [f"/api/v1/peers/{UNKNOWN}", f"/api/v1/peers/{UNKNOWN}/evidence"] * OPEN_MAX
    with ThreadPoolExecutor(len(paths)) as pool:
        answers = list(pool.map(ask, paths))
    told = {answer.status_code: answer.json()["detail"] for answer in answers}
    assert set(told) == {404, 503}
    assert told[404] == f"no peer '{UNKNOWN}' is known in our zone; no answer came from eu/"
    assert "ask again" in told[503]
    assert sum(answer.status_code == 404 for answer in answers) >= OPEN_MAX
    with client(agent) as asking:
        assert asking.get("/api/v1/peers/xyz").status_code == 404
        assert asking.get(f"/api/v1/peers/{agent.peer_id[:8]}").json()["hearsay"] is None
