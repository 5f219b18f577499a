"""Whether a node is reached: the majority of its neighbours decides, whatever a minority or strangers report."""

from hypothesis import given
from hypothesis import strategies as st

from ledgers import GOOD, INTERVAL_MS, Book
from peerscope.mesh.dial_back import checksum
from peerscope.records.bodies import DialOutcome, DialReading, LinkReading, Profile, Report
from peerscope.records.hosts import HostTokens
from peerscope.records.identity import ref
from peerscope.views.reachability import AGE_S_MAX, ReachabilityView, reachability

ADDRESSES = ("203.0.113.7:4001", "[2001:db8::7]:4001")
REGIONS = ("eu", "us", "ap", "sa", "af", "oc")
REACHED, REFUSED, SILENT, ELSEWHERE, UNABLE = map(
    int,
    (DialOutcome.REACHED, DialOutcome.REFUSED, DialOutcome.SILENT, DialOutcome.ELSEWHERE, DialOutcome.UNABLE),
)
Outcomes = dict[int, tuple[int, ...]]


def network(
    outcomes: Outcomes,
    neighbours: int = 6,
    *,
    age_s: int = 5,
    name: int = checksum(ADDRESSES),
    host: bytes | None = None,
) -> Book:
    """Peer 0 with a node, so many neighbours in regions of their own, and what some peers found."""
    book = Book()
    book.say(0, Profile((), "eu", "1", 0, node_addresses=ADDRESSES, host=HostTokens(b"machine0")))
    links = tuple(LinkReading(ref(book[number]), 1000) for number in range(1, neighbours + 1))
    book.say(0, Report(INTERVAL_MS, (GOOD,), links))
    for number in range(1, 10):
        tokens = None if host is None else HostTokens(host)
        book.say(number, Profile((), REGIONS[number % 6], "1", 0, host=tokens))
        found = outcomes.get(number)
        dialled = () if found is None else (DialReading(ref(book[0]), name, found, age_s),)
        book.say(number, Report(INTERVAL_MS, (GOOD,), dialled=dialled))
    return book


def view(book: Book, now: float = 1.0) -> ReachabilityView:
    found = reachability(book.snapshot(now), book[0])
    assert found is not None
    return found


def test_a_firewall_in_one_region_leaves_five_of_six() -> None:
    found = view(network(dict.fromkeys(range(1, 6), (REACHED, REFUSED)) | {6: (SILENT, SILENT)}))
    assert (found.verdict, found.summary) == ("reachable", "reachable from 5 of 6 regions (5 of 6 peers)")
    assert found.dialers[0].age_s == 6.0


def test_what_nobody_reaches_says_why() -> None:
    found = view(network({1: (SILENT, ELSEWHERE), 2: (SILENT, ELSEWHERE), 3: (REFUSED, ELSEWHERE)}))
    assert found.verdict == "unreachable"
    assert found.summary.startswith("reachable from 0 of 3 regions (0 of 3 peers); no answer")


def test_a_tie_is_mixed_and_nothing_tried_is_unknown() -> None:
    assert view(network({1: (REACHED, REACHED), 2: (SILENT, SILENT)})).verdict == "mixed"
    assert view(network({1: (ELSEWHERE, ELSEWHERE)})).verdict == "unknown"
    assert view(network({})).summary == "not tried yet"


def test_dialers_that_could_not_dial_do_not_count() -> None:
    unable, reached = (UNABLE, UNABLE), (REACHED, ELSEWHERE)
    found = view(network(dict.fromkeys(range(1, 5), unable) | dict.fromkeys((5, 6), reached)))
    assert (found.verdict, found.reached_by, found.tried_by) == ("reachable", 2, 2)
    found = view(network(dict.fromkeys(range(1, 7), unable)))
    assert (found.verdict, found.tried_by) == ("unknown", 0)
    assert found.summary == "no peer could try it: the dialer could not open a connection"
    mixed = view(network({1: (UNABLE, ELSEWHERE), 2: (ELSEWHERE, ELSEWHERE)}))
    assert mixed.summary == "no peer could try it: the mesh does not reach the peer at this address"


def test_what_is_old_of_other_addresses_malformed_or_from_no_neighbour_does_not_count() -> None:
    good = (REACHED, REACHED)
    for book in (
        network({1: good}, name=1),
        network({1: good}, age_s=round(AGE_S_MAX) + 1),
        network({1: (REACHED,)}),
        network({8: good}),
        network({0: good}),
    ):
        assert view(book).dialers == ()
    assert view(network({1: (200, 99)})).reached_by == 0  # outcomes of a later version


def test_a_peer_that_does_not_ask_or_is_gone_has_no_view_and_a_silent_one_an_empty_one() -> None:
    book = network({1: (REACHED, REACHED)})
    assert reachability(book.snapshot(1.0), book[1]) is None
    assert view(book, now=16.0).verdict == "unknown"  # all reports are void
    book.say(0, Profile((), "eu", "1", 0, True, node_addresses=ADDRESSES), at=1.0)
    assert reachability(book.snapshot(1.5), book[0]) is None


def test_its_own_machine_does_not_count() -> None:
    found = view(network({1: (REACHED, REACHED)}, host=b"machine0"))
    assert (found.verdict, found.tried_by, found.summary) == ("unknown", 0, "tried from its own machine only")
    assert found.dialers[0].same_machine


@given(st.integers(1, 6), st.sampled_from([REACHED, SILENT]), st.data())
def test_liars_below_half_change_no_verdict(dialers: int, truth: int, data: st.DataObject) -> None:
    honest: Outcomes = dict.fromkeys(range(1, dialers + 1), (truth, truth))
    liars = data.draw(st.sets(st.integers(1, dialers), max_size=(dialers - 1) // 2))
    strangers = data.draw(st.sets(st.integers(7, 9)))
    codes = st.integers(0, 255)
    lies = {number: data.draw(st.tuples(codes, codes)) for number in (*sorted(liars), *sorted(strangers))}
    found = view(network(honest | lies))
    assert found.verdict == view(network(honest)).verdict
    assert found.tried_by <= dialers
