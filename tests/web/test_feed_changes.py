"""A client that applies changes to a snapshot has what a fresh snapshot says, whenever it came."""

import copy
import json
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from feeds import FeedClient, Fields, Moment, change, played
from peerscope.top.feed import NetworkSummary
from peerscope.web.content import FeedPeer
from peerscope.web.feed_changes import Numbers, table_changes

PEER_FIELDS = st.fixed_dictionaries(
    {"status": st.sampled_from(("healthy", "down")), "verdict": st.just("alive")},
    optional={
        "version": st.sampled_from(("", "0.1.0")),
        "region": st.sampled_from((None, "", "eu")),
        "rtt_s": st.sampled_from((None, 0.0, 0.045)),
        "links": st.integers(0, 2),
        "heard_at": st.sampled_from((None, 0, 100)),
        "gone_since": st.sampled_from((None, 7.5)),
    },
)
LINK_FIELDS = st.fixed_dictionaries(
    {}, optional={"rtt_s": st.sampled_from((None, 0.0, 0.2)), "estimated": st.booleans()}
)
ALERT_FIELDS = st.fixed_dictionaries(
    {name: st.sampled_from(("a", "b")) for name in ("rule", "severity", "title", "description", "state")},
    optional={"started_at": st.just(1.0), "flapping": st.booleans(), "incident": st.sampled_from((None, "", "i"))},
)
LINK_KEYS = st.tuples(st.sampled_from("ab"), st.sampled_from("cd"), st.just("mesh"))


def states(keys: st.SearchStrategy[Any], fields: st.SearchStrategy[Fields]) -> st.SearchStrategy[dict[Any, Fields]]:
    return st.dictionaries(keys, fields, max_size=4)


moments = st.fixed_dictionaries(
    {
        "peers": states(st.sampled_from("abcd"), PEER_FIELDS),
        "links": states(LINK_KEYS, LINK_FIELDS),
        "alerts": states(st.sampled_from("abcd"), ALERT_FIELDS),
    }
)
histories = st.lists(moments, min_size=1, max_size=8)


@given(histories)
def test_changes_applied_to_any_snapshot_give_each_later_one(history: list[Moment]) -> None:
    clients: list[FeedClient] = []
    for snapshot, changes in played(history):
        for client in clients:
            assert changes is not None
            client.take(copy.deepcopy(changes))
        clients.append(FeedClient())
        clients[-1].take(copy.deepcopy(snapshot))
        assert all(client.tables == clients[-1].tables for client in clients)


@given(histories)
def test_a_terminal_that_follows_shows_what_one_that_comes_later_does(history: list[Moment]) -> None:
    network = NetworkSummary()
    for snapshot, changes in played(history):
        network.take(copy.deepcopy(snapshot) if changes is None else changes)
        fresh = NetworkSummary()
        fresh.take(snapshot)
        assert (network.peers, network.alerts) == (fresh.peers, fresh.alerts)


@given(histories)
def test_nothing_is_sent_where_nothing_changed(history: list[Moment]) -> None:
    for (_, _), (_, changes) in zip(
        played(history), played([one for one in history for _ in range(2)])[1::2], strict=True
    ):
        assert changes is not None
        assert changes["data"] == {}


def test_a_value_that_becomes_the_usual_one_is_not_mistaken_for_one_that_stays() -> None:
    before = {"a": FeedPeer(1, "a", "healthy", "alive", region="eu", links=2, rtt_s=0.1)}
    now = {"a": FeedPeer(1, "a", "healthy", "alive", region="eu", links=0, rtt_s=None)}
    changes = json.loads(msgspec.json.encode(table_changes(before, now)))
    assert changes == {"fields": {"rtt_s": [[1, None]], "links": [[1, None]]}}
    rows = {1: {"n": 1, "region": "eu", "links": 2, "rtt_s": 0.1}}
    change(rows, changes)
    assert rows == {1: {"n": 1, "region": "eu"}}


def test_a_row_that_returns_gets_another_number_and_no_number_is_given_twice() -> None:
    numbers: Numbers[str] = Numbers()
    first, other = numbers.of("a"), numbers.of("b")
    numbers.keep({"b"})
    again, later = numbers.of("a"), numbers.of("c")
    assert len({first, other, again, later}) == 4
    assert numbers.of("b") == other


def test_a_row_with_another_number_is_another_row() -> None:
    before, now = FeedPeer(1, "a", "healthy", "alive", links=2), FeedPeer(2, "a", "healthy", "alive")
    changes = table_changes({"a": before}, {"a": now})
    assert changes is not None
    assert (changes.new, changes.gone, changes.fields) == ((now,), (1,), {})
