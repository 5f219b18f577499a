"""Links with peers that operators listed: in the settings, or in signed records of those the settings trust."""

from ledgers import Book, meshed
from peerscope.records.blocks import Block, Blocks
from peerscope.threats.blocks import BlockList, HeldLists, shared_by, to_share
from peerscope.threats.threats import ThreatConfig, Threats
from signatures import signatures


def found(book: Book, config: ThreatConfig, *remotes: str) -> dict[str, str]:
    """Confidence as text, by whom the finding is about; peer 0 looks."""
    threats = Threats(config, signatures(), book[0], 0.0)
    threats.update(book.snapshot(1.0), 1.0, is_aggregator=False)
    for remote in remotes:
        threats.connection(remote, opened=True, now=1.0)
    told = threats.update(book.snapshot(2.0), 2.0, is_aggregator=False)
    return {one.peer_id or one.group: f"{one.confidence:.2f}" for one in told if one.detection == "bad-peer-connection"}


def test_a_listed_peer_is_told_only_while_there_is_a_link() -> None:
    book = meshed(4)
    config = ThreatConfig(blocked=(book[2].hex(), "ab" * 16))
    assert found(book, config) == {book[2].hex(): "1.00"}


def test_an_address_prefix_lists_whoever_is_behind_it_and_the_nodes_own_connections() -> None:
    book = meshed(4)
    config = ThreatConfig(blocked=("10.0.0.3", "192.0.2.0/24", "2001:db8::/32"))
    told = found(book, config, "192.0.2.7:4001", "[2001:db8::1]:1", "192.0.3.7:4001", "example.org:1", "x" * 100)
    assert told == {book[3].hex(): "1.00", "192.0.2.7:4001": "1.00", "[2001:db8::1]:1": "1.00"}


def test_lists_of_others_count_only_where_they_are_trusted_and_more_where_they_agree() -> None:
    book = meshed(5)
    for author in (1, 2, 3):
        book.say(author, Blocks((Block(book[4].hex()[:16], "spam"), Block("no such thing"))), at=0.5)
    assert found(book, ThreatConfig()) == {}
    one = found(book, ThreatConfig(trust=(book[1].hex(),)))
    two = found(book, ThreatConfig(trust=(book[1].hex(), book[2].hex())))
    assert one == {book[4].hex(): "0.70"}
    assert two == {book[4].hex(): "0.91"}


def test_a_list_is_shared_as_it_stands() -> None:
    shared = to_share(("192.0.2.0/24", "ab" * 8))
    listed = BlockList((), [(meshed(1)[0], shared)])
    assert listed.match("192.0.2.9:1") is not None
    assert listed.match("AB" * 32) is not None
    assert listed.match("ac" * 32) is None


def test_a_list_whose_author_the_network_has_forgotten_is_told_once_and_one_that_was_emptied_is_not() -> None:
    book, held = meshed(4), HeldLists()
    trusted = (book[1], book[2], book[3])
    assert held.update(shared_by(book.snapshot(1.0), trusted)) == []
    for author in (1, 2):
        book.say(author, Blocks((Block("ab" * 8), Block("10.0.0.0/8"))), at=2.0)
    assert held.update(shared_by(book.snapshot(3.0), trusted)) == []
    book.say(2, Blocks(), at=4.0)
    assert held.update(shared_by(book.snapshot(5.0), trusted)) == []
    snapshot = book.snapshot(6.0)
    for author in trusted[:2]:
        snapshot.global_ledger.forget(author)
    assert held.update(shared_by(snapshot, trusted)) == [(book[1], 2)]
    assert held.update(shared_by(snapshot, trusted)) == []
