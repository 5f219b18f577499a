"""Nobody is alive whom nobody watches: a dead peer whose observers have all restarted."""

from ledgers import Book, meshed
from peerscope.alerts.network_signals import NETWORK_SIGNALS
from peerscope.alerts.own_signals import SignalContext
from peerscope.mesh.detection.unwatched import UNHEARD_S
from peerscope.mesh.detection.verdicts import Verdict
from peerscope.sim.alerts_seen import AlertHistory
from peerscope.sim.simulator import Simulator
from peerscope.views.evidence import evidence_view

LATE = UNHEARD_S + 10.0
DEAD = 5


def network(*, reporting: int = 5, peers: int = 6, listing: bool = False) -> Book:
    """All met at time 0. The first ones report again `LATE`, with links among themselves; the last peer is silent."""
    book = meshed(peers)
    for number in range(reporting):
        others = [other for other in range(reporting) if other != number]
        book.report(number, *others, *([DEAD] if listing and number == 1 else []), at=LATE)
    return book


def verdict(book: Book, now: float = LATE, peer: int = DEAD) -> Verdict:
    return book.snapshot(now).verdict(book[peer])


def test_a_peer_that_nobody_hears_nor_accuses_is_down_by_its_silence() -> None:
    book = network()
    snapshot = book.snapshot(LATE)
    assert (verdict(book), snapshot.statuses[book[DEAD]]) == (Verdict.DOWN, "down")
    found = evidence_view(snapshot, book[DEAD])
    assert (found.verdict, found.accusations) == ("down", ())
    assert found.arithmetic == "nobody watches this peer, and it has been silent for 70 s"
    (reading,) = NETWORK_SIGNALS["peer_down"](SignalContext(snapshot))
    assert reading.text == f"nobody hears {book[DEAD].hex()[:10]}, and none of its observers still runs"


def test_a_peer_to_which_somebody_has_a_link_is_alive() -> None:
    assert verdict(network(listing=True)) is Verdict.ALIVE


def test_a_peer_that_said_anything_lately_is_alive() -> None:
    book = network()
    book.introduce(DEAD, at=20.0)
    assert verdict(book) is Verdict.ALIVE
    assert verdict(book, 20.0 + UNHEARD_S + 1.0) is Verdict.DOWN
    assert verdict(book, LATE + 30.0) is Verdict.ALIVE, "then all reports are void"


def test_whoever_is_cut_off_or_has_slept_condemns_nobody() -> None:
    for reporting in (1, 2, 3):
        book = network(reporting=reporting)
        assert {verdict(book, peer=number) for number in range(6)} == {Verdict.ALIVE}
    asleep = meshed(6)
    assert {verdict(asleep, 10_000.0, number) for number in range(6)} == {Verdict.ALIVE}


def test_of_three_the_silent_one_is_down() -> None:
    book = meshed(3)
    for number in (0, 1):
        book.report(number, 1 - number, at=LATE)
    assert verdict(book, peer=2) is Verdict.DOWN


def test_a_peer_that_said_goodbye_or_never_reported_is_not_called_down() -> None:
    book = network()
    book.introduce(DEAD, at=1.0, left=True)
    assert verdict(book) is Verdict.LEFT
    book.introduce(6, at=0.0)
    assert verdict(book, peer=6) is Verdict.ALIVE


def test_it_is_alive_with_its_next_report() -> None:
    book = network()
    book.report(DEAD, at=LATE)
    assert verdict(book) is Verdict.ALIVE


def test_a_dead_peer_stays_down_while_all_others_are_upgraded_one_by_one() -> None:
    sim = Simulator(seed=1, signed=False)
    names = [sim.add() for _ in range(7)]
    for name in names:
        sim.start(name, *names[:1])
    alerts = AlertHistory(sim)
    sim.run_until(20.0)
    sim.crash(names[3])
    sim.run_until(70.0)
    others = [name for name in names if name != names[3]]
    for name in others:
        sim.crash(name)
        sim.start(name, *[other for other in others if other != name][:2])
        sim.run_until(sim.now + 20.0)
    for name in others:
        assert sim.snapshot(name).verdict(names[3]) is Verdict.DOWN
        assert {alert.state for alert in alerts.alert_list(name).alerts()} == {"firing"}
    assert "resolved" not in {alert.state for _, _, alert in alerts.changes}
    sim.run_until(sim.now + 60.0)
    assert not any(name in peer.membership.down for peer in sim.alive() for name in others)
    assert all(names[3] not in peer.neighbours.rings for peer in sim.alive()), "nobody counts on it as a neighbour"
    sim.start(names[3], others[0])
    sim.run_until(sim.now + 10.0)
    for name in others:
        assert sim.snapshot(name).verdict(names[3]) is Verdict.ALIVE
        assert {alert.state for alert in alerts.alert_list(name).alerts()} <= {"firing", "resolved"}
