"""Ledgers written by real keys, for what looks at them: every record is truly signed."""

from collections.abc import Iterable

from peerscope.mesh.detection.verdicts import STAND_S
from peerscope.records.bodies import Body, Check, LinkReading, Observation, Observations, Profile, Report, Status
from peerscope.records.identity import Identity, PeerId, ref, verify_ed25519
from peerscope.records.ledger import Ledger
from peerscope.records.record import sign
from peerscope.views.snapshot import Snapshot, SnapshotConfig

WALL_S = 1_700_000_000.0
"""Unix seconds at time 0."""
IDENTITIES = tuple(sorted((Identity(bytes((number,)) * 32) for number in range(12)), key=lambda one: one.peer_id))
GOOD = Check(Status.HEALTHY, 1000)
INTERVAL_MS = 5000
DOWN_AFTER_S = 4.0
STOOD_S = STAND_S + 0.3


class Book:
    """One ledger. Peers go by number, times are seconds since time 0; peer 0 is the one that looks."""

    def __init__(self, ledger: Ledger | None = None, identities: tuple[Identity, ...] = IDENTITIES) -> None:
        self.ledger = Ledger() if ledger is None else ledger  # an empty one is false
        self._identities = identities

    def __getitem__(self, number: int) -> PeerId:
        return self._identities[number].peer_id

    def say(self, number: int, body: Body, *, at: float = 0.0, skew_s: float = 0.0) -> None:
        """One statement of one peer, heard the moment it was issued."""
        wall_ms = round((WALL_S + at) * 1000)
        record = sign(self._identities[number], body, version=wall_ms, wall_ms=wall_ms)
        assert verify_ed25519(record.peer_id, record.signed_bytes(), record.signature)
        self.ledger.merge(record, body, at, skew_s)

    def introduce(self, *numbers: int, at: float = 0.0, left: bool = False, region: str | None = "eu") -> None:
        for number in numbers:
            self.say(number, Profile((f"10.0.0.{number}:1",), region, "1.0", 1_700_000_000_000, left), at=at)

    def report(
        self,
        number: int,
        *neighbours: int,
        worst: Status = Status.HEALTHY,
        at: float = 0.0,
        rtt_us: int | None = 1000,
        loss: int | None = 0,
    ) -> None:
        """Five checks, the third as bad as `worst`, and links with these neighbours."""
        links = tuple(LinkReading(ref(self[other]), rtt_us, loss) for other in neighbours)
        self.say(number, Report(INTERVAL_MS, (GOOD, GOOD, Check(worst, 9000), GOOD, GOOD), links), at=at)

    def accuse(self, number: int, subjects: Iterable[int], *, at: float, silence_s: float) -> None:
        """At that time the peer had not heard the subjects for so long, and had said so a while before."""
        heard_ms = round((WALL_S + at - silence_s) * 1000)
        issued_ms = round((silence_s - STOOD_S) * 1000)
        lost = (Observation(ref(self[subject]), heard_ms, issued_ms) for subject in subjects)
        self.say(number, Observations(tuple(lost)), at=at - STOOD_S)

    def snapshot(self, now: float, me: int = 0) -> Snapshot:
        return Snapshot(self.ledger, self[me], now, SnapshotConfig(wall_offset_s=WALL_S, down_after_s=DOWN_AFTER_S))


def meshed(peers: int) -> Book:
    """So many healthy peers at time 0, each linked with every other."""
    book = Book()
    for number in range(peers):
        book.introduce(number)
        book.report(number, *(other for other in range(peers) if other != number))
    return book


def lose(book: Book, subject: int, observers: Iterable[int], *, silence_s: float = 5.0) -> float:
    """Observers report, without the subject, and accuse it; the time at which they do."""
    at = silence_s + 1.0
    observers = list(observers)
    for number in observers:
        book.report(number, *(other for other in observers if other != number), at=at)
        book.accuse(number, [subject], at=at, silence_s=silence_s)
    return at
