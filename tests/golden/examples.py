"""One example of everything that is sent or signed, and its bytes as released.

`python tests/golden/examples.py` writes the files that no version has yet into the folder of the newest. Those that are
there are what older agents speak, and are never written again. An example gets its new field when a struct does: the
test then shows that the old bytes mean the same, and that an old agent reads the new ones as before.
"""

from __future__ import annotations

from pathlib import Path

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from peerscope.mesh.messages import (
    Aged,
    Announce,
    Bye,
    Challenge,
    Digest,
    Doubt,
    Find,
    Found,
    FoundPeer,
    Held,
    Hello,
    Inventory,
    Key,
    Load,
    Moved,
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
from peerscope.records.blocks import Block, Blocks
from peerscope.records.bodies import (
    Check,
    Coordinate,
    DialReading,
    LinkReading,
    Observation,
    Observations,
    OverlayLink,
    Profile,
    Report,
)
from peerscope.records.certificates import Revoked, certify, revoke
from peerscope.records.identity import Identity
from peerscope.records.measures import AgentMetrics, Measure, Metrics, PerformanceMetrics, ReportedNode, SystemMetrics
from peerscope.records.record import Record, sign
from peerscope.records.sketch import SketchBody
from peerscope.records.summary import Headline, RegionLine, Summary

PLACE = Path(__file__).parent
FIRST, RELEASE = "v1", "v3"
AT_MS = 1_790_000_000_000
ONE, TWO, OPERATOR = (Identity(bytes((number,)) * 32) for number in (1, 2, 3))
REF_ONE, REF_TWO = ONE.peer_id[:8], TWO.peer_id[:8]


CERTIFICATE = certify(
    OPERATOR, ONE.peer_id, "peerscope", serial=bytes(range(8)), not_before_ms=AT_MS, not_after_ms=AT_MS + 86_400_000
)
REVOCATION = revoke(OPERATOR, TWO.peer_id, "peerscope", revoked_at_ms=AT_MS, not_after_ms=AT_MS + 86_400_000)
COORDINATE = Coordinate((1_000, -2_000, 3_000), 400, 2_500, -60)
METRICS = Metrics(SystemMetrics(cpu=9_700), ReportedNode(), PerformanceMetrics(), AgentMetrics())
PROFILE = Profile(
    ("192.0.2.1:4600", "[2001:db8::1]:4600"),
    "eu-west",
    "0.1.0",
    AT_MS,
    False,
    "eu-west/0",
    "beam",
    (("tier", "gold"),),
    ("aggregator",),
    "country",
    "0123456789abcdef",
    "192.0.2.1:8080",
    CERTIFICATE,
)
REPORT = Report(
    5_000,
    (Check(0, 1_200), Check(1, 8_000, "80% used"), Check(2, 9_900, "full"), Check(3, None, "no such file"), Check(0)),
    (LinkReading(REF_TWO, 12_345, 10, False, 3, -7), LinkReading(REF_ONE)),
    8,
    COORDINATE,
    (OverlayLink("fedcba", 900), OverlayLink("abcdef")),
    METRICS,
)
MEASURES = (
    Measure("block_height", 912_345, "blocks"),
    Measure("folder_completion", 0.987654, "ratio"),
    Measure("leader_changes", 3, "", True),
    Measure("sync_lag", None, "blocks"),
)
NODE_PROFILE = replace(PROFILE, node_addresses=("192.0.2.1:4001", "[2001:db8::1]:4001"), dials=True)
DIALLED_REPORT = replace(
    REPORT,
    links=(LinkReading(REF_TWO, 12_345, 10, False, 3, -7, False, 4_321),),
    overlay_cut=True,
    dialled=(DialReading(REF_TWO, 54_321, (0, 1), 90),),
)
MEASURED_REPORT = replace(REPORT, metrics=replace(METRICS, node=ReportedNode(measures=MEASURES)))
OBSERVATIONS = Observations((Observation(REF_TWO, AT_MS - 4_000, 4_200, "silent"),))
STATEMENT = Statement(
    "peer-down", REF_TWO.hex(), 3, 4_000, 100, True, "silent for 5 s", (("region", "eu"),), (REF_ONE,), 9_000
)
ALERTS = Alerts((STATEMENT,), (Notice("peer-down-x firing", 500, 3),), 2)
ORDERS = Orders(
    (Silence("0123456789ab", (("type", "peer-*"),), 60_000, 7_200_000, "ada", "works on it"),),
    (Acknowledgement("peer-down-x", 1_000, "ada", "seen"),),
)
REVOKED = Revoked((REVOCATION,))
BLOCKS = Blocks((Block(REF_TWO.hex(), "floods"),))
LATENCIES = SketchBody(0, -231, (1, 3), 0.03, 0.01, 0.01)
SUMMARY = Summary(
    "eu-west/0",
    (REF_ONE, REF_TWO),
    ("192.0.2.1:4600",),
    30_000,
    *(10, 6, 1, 1, 1, 1, 2, 1),
    bytes(range(64)),
    LATENCIES,
    38,
    40,
    LATENCIES,
    LATENCIES,
    12_345,
    (RegionLine("eu-west", 10, 6, 1, 1, 1, 1),),
    (3, 2, 1, 1),
    (Headline("peer-down-x", 3, "A peer is down"),),
)
_SIGNED = PLACE / FIRST / "record.bin"
RECORD = (
    msgspec.msgpack.decode(_SIGNED.read_bytes(), type=Record)  # with the body as it was: it is under the signature
    if _SIGNED.exists()
    else sign(ONE, PROFILE, version=AT_MS, wall_ms=AT_MS - 5)
)

BODIES: dict[str, Struct] = {
    "profile": PROFILE,
    "profile-node": NODE_PROFILE,
    "report": REPORT,
    "report-dialled": DIALLED_REPORT,
    "report-measured": MEASURED_REPORT,
    "observations": OBSERVATIONS,
    "alerts": ALERTS,
    "orders": ORDERS,
    "revoked": REVOKED,
    "blocks": BLOCKS,
    "summary": SUMMARY,
}
LOAD = Load((Key(REF_ONE, 1, AT_MS),), (Aged(RECORD, 250),), (Topic(REF_TWO, 2),))
MESSAGES: dict[str, Struct] = {
    "hello": Hello(1, 1, "peerscope", bytes(32), AT_MS, True, False, bytes(16), CERTIFICATE, "eu-west/0"),
    "ping": Ping(7, AT_MS, 5, 12_345, 10, COORDINATE),
    "pong": Pong(7, AT_MS, 5, COORDINATE),
    "ping-loaded": Ping(7, AT_MS, 5, 12_345, 10, COORDINATE, 3_200, 6, LOAD),
    "pong-loaded": Pong(7, AT_MS, 5, COORDINATE, LOAD),
    "doubt": Doubt((REF_ONE, REF_TWO), 5),
    "push": Push(RECORD, 250, 5, (REF_ONE, REF_TWO), (None, 1_500)[:1], AT_MS * 1_000),
    "announce": Announce((Key(REF_ONE, 1, AT_MS),)),
    "pull": Pull((Topic(REF_ONE, 1),)),
    "records": Records((Aged(RECORD, 250),)),
    "digest": Digest(1, bytes(16), True),
    "inventory": Inventory(1, (0, 1), (Held(REF_ONE, 1, AT_MS, b"abcd"),), True),
    "bye": Bye("not a neighbour"),
    "neighbors": Neighbors(1, 1, "peerscope", bytes(32), CERTIFICATE),
    "vicinity": Vicinity(RECORD, (RECORD,), 3),
    "challenge": Challenge(bytes(range(16))),
    "moved": Moved("eu-west/0"),
    "find": Find(7, "0123abcd"),
    "found": Found(7, "eu-west/0", (FoundPeer((Aged(RECORD, 250),), Opinion("suspect", 2, 8, 2, 8, 5)),), 3),
}


def main() -> None:
    """Write what is missing."""
    folder = PLACE / RELEASE
    folder.mkdir(exist_ok=True)
    for name, example in (BODIES | MESSAGES | {"record": RECORD}).items():
        place = folder / f"{name}.bin"
        if not any(PLACE.glob(f"v*/{name}.bin")):
            place.write_bytes(msgspec.msgpack.encode(example))
            print(place)


if __name__ == "__main__":
    main()
