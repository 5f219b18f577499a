"""What the property tests draw from: peers, bodies, records, and ways for records to arrive."""

from hypothesis import strategies as st

from peerscope.mesh.messages import (
    Aged,
    Announce,
    Bye,
    Challenge,
    Digest,
    Find,
    Found,
    FoundPeer,
    Held,
    Hello,
    Inventory,
    Key,
    Message,
    Neighbors,
    Opinion,
    Ping,
    Pong,
    Pull,
    Push,
    Records,
    Topic,
    Vicinity,
)
from peerscope.records.alerts import Acknowledgement, Alerts, Notice, Orders, Silence, Statement
from peerscope.records.bodies import (
    Body,
    Check,
    Coordinate,
    Kind,
    LinkReading,
    Observation,
    Observations,
    Opaque,
    Profile,
    Report,
    encode_body,
)
from peerscope.records.certificates import Certificate, Revocation, Revoked
from peerscope.records.identity import Identity, PeerId
from peerscope.records.measures import (
    COUNT_MAX,
    MEASURE_US_MAX,
    RATIO_MAX,
    AgentMetrics,
    Metrics,
    PerformanceMetrics,
    ReportedNode,
    SystemMetrics,
)
from peerscope.records.record import Record

IDENTITIES = tuple(Identity(bytes((number,)) * 32) for number in range(12))
"""Real keys, the same in every run, in the order of their ids."""
IDENTITIES = tuple(sorted(IDENTITIES, key=lambda identity: identity.peer_id))

# The first three share a bucket of the ledger's fingerprints, the last two sit at the ends.
ORIGINS = tuple(
    PeerId(bytes(head).ljust(32, b"\0")) for head in ([7, 1], [7, 2], [7, 3], [8, 1], [0x60, 1], [0, 1], [255, 1])
)

BODY_TYPES = {
    Kind.PROFILE: Profile,
    Kind.REPORT: Report,
    Kind.OBSERVATIONS: Observations,
    Kind.ALERTS: Alerts,
    Kind.ORDERS: Orders,
    Kind.REVOKED: Revoked,
}


def number(most: int) -> st.SearchStrategy[int]:
    return st.integers(0, most)


names = st.text(st.characters(exclude_categories=("Cc", "Cf", "Cs", "Zl", "Zp")), max_size=64)
texts = st.text(st.characters(exclude_categories=("Cc", "Cf", "Cs", "Zl", "Zp")), max_size=160)
refs = st.binary(min_size=8, max_size=8)
milliseconds = st.one_of(number(10_000), number(2**53 - 1))


def tuples_of(element: st.SearchStrategy, most: int) -> st.SearchStrategy[tuple]:
    return st.lists(element, max_size=most).map(tuple)


_ids = st.binary(min_size=32, max_size=32)
_signatures = st.binary(min_size=64, max_size=64)
certificates = st.builds(
    Certificate, _ids, names, st.binary(min_size=8, max_size=8), milliseconds, milliseconds, _ids, _signatures
)
revoked = st.builds(
    Revoked,
    tuples_of(
        st.builds(Revocation, st.binary(min_size=8, max_size=32), milliseconds, milliseconds, _ids, _signatures), 5
    ),
)
profiles = st.builds(
    Profile,
    addresses=tuples_of(names, 8),
    region=st.none() | names,
    version=names,
    started_at_ms=milliseconds,
    left=st.booleans(),
    zone=names,
    node=st.none() | names,
    labels=tuples_of(st.tuples(names, names), 3),
    roles=tuples_of(names, 3),
    exporter=st.none() | st.sampled_from(["10.0.0.1:8080", "peer.example.org:80", "[2001:db8::1]:65535"]),
    certificate=st.none() | certificates,
)
checks = st.builds(Check, number(3), st.none() | number(1_000_000), st.none() | texts)
readings = st.builds(
    LinkReading, refs, st.none() | number(600_000_000), st.none() | number(10_000), watches=st.booleans()
)
_microseconds = st.integers(-200_000, 200_000) | st.integers(-600_000_000, 600_000_000)
coordinates = st.builds(
    Coordinate,
    st.lists(_microseconds, min_size=2, max_size=8).map(tuple) | st.tuples(_microseconds, _microseconds),
    number(50_000) | number(600_000_000),
    number(15_000),
    _microseconds,
)
_counts = st.none() | number(10_000) | number(COUNT_MAX)
_ratios = st.none() | number(RATIO_MAX)
_durations = st.none() | number(MEASURE_US_MAX)
metrics = st.builds(
    Metrics,
    st.builds(SystemMetrics, _ratios, *[_counts] * 9),
    st.none() | st.builds(ReportedNode, *[_counts] * 9),
    st.builds(PerformanceMetrics, _durations, _ratios, _counts),
    st.builds(AgentMetrics, _ratios, _counts, _counts, _counts, _durations),
)
reports = st.builds(
    Report,
    st.integers(100, 86_400_000),
    tuples_of(checks, 6),
    tuples_of(readings, 9),
    number(64),
    st.none() | coordinates,
    metrics=st.none() | metrics,
)
observations = st.builds(
    Observations, tuples_of(st.builds(Observation, refs, milliseconds, milliseconds, reason=names), 6)
)
_pairs = tuples_of(st.tuples(names, names), 8)
alerts = st.builds(
    Alerts,
    tuples_of(
        st.builds(
            Statement,
            names,
            names,
            number(3),
            milliseconds,
            st.none() | milliseconds,
            st.booleans(),
            st.none() | texts,
            _pairs,
            tuples_of(refs, 16),
            st.none() | number(10_000),
        ),
        4,
    ),
    tuples_of(st.builds(Notice, names, milliseconds, number(3), st.booleans()), 4),
    number(2**31),
)
orders = st.builds(
    Orders,
    tuples_of(
        st.builds(
            Silence,
            st.text("0123456789abcdef", min_size=8, max_size=16),
            st.lists(st.tuples(names, names), min_size=1, max_size=8).map(tuple),
            milliseconds,
            milliseconds,
            names,
            texts,
        ),
        3,
    ),
    tuples_of(st.builds(Acknowledgement, names, milliseconds, names, texts), 3),
)
bodies: st.SearchStrategy[Body] = profiles | reports | observations | alerts | orders | revoked


def unsigned(origin: PeerId, body: Body, version: int = 1, *, kind: int | None = None, ahead_ms: int = 0) -> Record:
    """A record whose signature nobody checked; the ledger never does."""
    number = {type_: number for number, type_ in BODY_TYPES.items()}.get(type(body), kind)
    assert number is not None
    data = body.data if isinstance(body, Opaque) else encode_body(body)
    return Record(origin, int(number), version, ahead_ms, data, bytes(64))


# Few origins, kinds, versions and contents, so that versions collide and equivocations are common.
small_bodies = st.sampled_from(
    [
        Profile((), None, "1", 0),
        Profile((), "eu", "1", 0),
        Report(5000, ()),
        Report(5000, (Check(1, 8000),)),
        Observations(),
        Observations((Observation(ORIGINS[0][:8], 5, 5),)),
        Alerts(),
        Alerts((Statement("cpu-high", "", 2, 5),)),
        Orders(),
        Orders((), (Acknowledgement("cpu-high-00", 5, "me"),)),
        Opaque(b"one"),
        Opaque(b"two"),
    ]
)


@st.composite
def statements(draw: st.DrawFn, versions: int = 4) -> tuple[Record, Body]:
    """A verified record and its body, as `Ledger.merge` takes them."""
    body = draw(small_bodies)
    version = draw(st.integers(1, versions))
    return unsigned(draw(st.sampled_from(ORIGINS)), body, version, kind=20), body


records = st.builds(
    Record,
    st.binary(min_size=32, max_size=32),
    number(31),
    st.integers(1, 2**53 - 1),
    number(2**53 - 1),
    st.binary(max_size=200),
    st.binary(min_size=64, max_size=64),
)
_held = tuples_of(st.builds(Held, refs, number(31), st.integers(1, 2**53 - 1), st.binary(min_size=4, max_size=4)), 5)
_keys = tuples_of(st.builds(Key, refs, number(31), st.integers(1, 2**53 - 1)), 5)
_sequences = number(2**32 - 1)
_losses = st.none() | number(10_000)
_places = st.none() | coordinates
messages: st.SearchStrategy[Message] = st.one_of(
    st.builds(
        Hello,
        st.integers(1, 255),
        st.integers(1, 255),
        st.just("peerscope") | names,
        st.binary(max_size=32),
        milliseconds,
        st.booleans(),
        st.booleans(),
        st.binary(max_size=16),
        st.none() | certificates,
    ),
    st.builds(Ping, _sequences, milliseconds, milliseconds, st.none() | number(600_000_000), _losses, _places),
    st.builds(Pong, _sequences, milliseconds, milliseconds, _places),
    st.builds(
        Push,
        records,
        milliseconds,
        number(32),
        tuples_of(refs, 16),
        tuples_of(st.none() | number(600_000_000), 16),
        st.none() | number(2**53 - 1),
    ),
    st.builds(Announce, _keys),
    st.builds(Pull, tuples_of(st.builds(Topic, refs, number(31)), 5)),
    st.builds(Records, tuples_of(st.builds(Aged, records, milliseconds), 3)),
    st.integers(0, 8).flatmap(
        lambda bits: st.builds(Digest, st.just(bits), st.just(bytes(8 << bits)) | st.binary(max_size=64))
    ),
    st.builds(Inventory, number(8), tuples_of(number(255), 5), _held),
    st.builds(Bye, names),
    st.builds(
        Neighbors,
        st.integers(1, 255),
        st.integers(1, 255),
        st.just("peerscope") | names,
        st.binary(max_size=32),
        st.none() | certificates,
    ),
    st.builds(Challenge, st.binary(min_size=16, max_size=16)),
    st.builds(Vicinity, records, tuples_of(records, 3), number(65_535)),
    st.builds(Find, _sequences, st.text("0123456789abcdef", min_size=1, max_size=64)),
    st.builds(
        Found,
        _sequences,
        names,
        tuples_of(
            st.builds(
                FoundPeer,
                tuples_of(st.builds(Aged, records, milliseconds), 2),
                st.none() | st.builds(Opinion, names, *[number(65_535)] * 5),
            ),
            2,
        ),
        number(65_535),
    ),
)


@st.composite
def damaged(draw: st.DrawFn, data: bytes) -> bytes:
    """The bytes cut short, or with one bit flipped."""
    if draw(st.booleans()):
        return data[: draw(st.integers(0, max(0, len(data) - 1)))]
    at = draw(st.integers(0, len(data) * 8 - 1))
    return data[: at // 8] + bytes((data[at // 8] ^ 1 << at % 8,)) + data[at // 8 + 1 :]
