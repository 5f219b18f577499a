"""What the table of links says of the networks of nodes."""

import io

import msgspec
from rich.console import Console

from ledgers import Book
from maps import join, tell
from peerscope.cli.look import _reachable
from peerscope.cli.map import _show
from peerscope.views.topology import topology


def test_the_table_names_what_is_confirmed_what_is_not_and_a_node_of_two_peers() -> None:
    book = Book()
    for number, (node, listed) in enumerate((("a", "bcx"), ("b", "a"), ("c", "b"), ("d", "a"), ("d", "a"))):
        join(book, number, node="ygg", node_id=node)
        tell(book, number, overlay=[(name, 1000) for name in listed])
    tell(book, 0, overlay=[(name, 1000) for name in "bcxd"], at=0.5)
    found = msgspec.to_builtins(topology(book.snapshot(1.0)))
    console = Console(file=io.StringIO(), width=200, color_system=None)
    with console.capture() as captured:
        _show(console, found)
    said = captured.get()
    for words in (
        "ygg, both ends",
        "ygg, one end",
        "ygg, unconfirmed",
        "ygg: 5 nodes with an agent, 2 without; links: 1 confirmed by both ends, 3 by one end, 2 unconfirmed",
        "ygg:d: several peers name this node as theirs",
    ):
        assert words in said, said


def test_reachability_is_told_with_each_dialer_and_not_at_all_where_nobody_asks() -> None:
    dialer = {"peer_id": "ab" * 32, "region": None, "outcomes": {"h:1": "reached"}, "age_s": 5.0, "same_machine": True}
    lines = _reachable({"verdict": "reachable", "summary": "reachable from 1 of 1 region", "dialers": [dialer]})
    assert [name for name, _ in lines] == ["node reached", ""]
    assert lines[1][1].plain == "ababababab (no region, on its own machine): h:1 reached, 5 s ago"
    assert _reachable(None) == []
