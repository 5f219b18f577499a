"""The last hour of a real agent, to be played again."""

import httpx
import pytest

from ledgers import Book
from live import Agent, until
from peerscope.records.identity import Identity

NEWCOMER = (Identity(b"\x07" * 32),)


def test_who_came_is_told_as_a_change_with_full_ids(web: httpx.Client, agent: Agent) -> None:
    book, name = Book(agent.monitor.peer.ledger, NEWCOMER), NEWCOMER[0].peer_id.hex()
    until(lambda: agent.monitor.core.news.links.begin < float("inf"), "the agent keeps its links")
    agent.loop.call(book.introduce, 0)
    until(lambda: agent.monitor.core.news.timeline.last(NEWCOMER[0].peer_id) is not None, "its status is noted")
    found = web.get("/api/v1/replay").json()
    assert found["until"] - 3600 <= found["since"] <= found["until"]
    changes = [(found["names"][peer], found["statuses"][status]) for _, peer, status in found["status_changes"]]
    assert (name, "unknown") in changes
    assert {found["names"][peer] for peer, _ in found["peers"]} <= {agent.peer_id, name}
    assert set(found) >= {"links", "link_changes", "layers", "alerts"}


def test_only_what_came_later_is_told_where_less_is_wanted(web: httpx.Client) -> None:
    found = web.get("/api/v1/replay", params={"since": "1s"}).json()
    assert found["until"] - found["since"] <= 2


@pytest.mark.parametrize("since", ["yesterday", "-1", "99999999999999"])
def test_a_time_that_is_none_is_refused_in_words(web: httpx.Client, since: str) -> None:
    answer = web.get("/api/v1/replay", params={"since": since})
    assert answer.status_code == 400
    assert "since" in answer.json()["detail"]
