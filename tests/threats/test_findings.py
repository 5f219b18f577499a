"""Findings become readings that any peer accepts, whatever names an attacker chose."""

from hypothesis import given
from hypothesis import strategies as st

from peerscope.records.alerts import Alerts, Severity, Statement
from peerscope.records.bodies import Kind, decode_body, encode_body
from peerscope.records.identity import PeerId, ref
from peerscope.threats.findings import finding, gravest, readings
from peerscope.threats.signatures import Signature

X = Signature(name="x", signal="sybil", title="t")
texts = st.text(max_size=300)


@given(texts, texts, st.lists(st.tuples(texts, texts), max_size=12), st.floats(-1.0, 3.0), st.booleans())
def test_what_is_found_fits_into_an_alert(
    text: str, group: str, evidence: list[tuple[str, str]], confidence: float, is_own: bool
) -> None:
    one = finding(
        Signature(name="sybil", signal="sybil", title=text, severity="high"),
        group,
        confidence=confidence,
        text=text,
        evidence=evidence,
        scope="own" if is_own else "network",
    )
    (reading,) = readings([one])
    assert reading.confidence is not None
    statement = Statement(
        reading.rule or "",
        reading.subject,
        Severity.HIGH,
        firing_ms=0,
        text=reading.text,
        metadata=reading.metadata,
        confidence=round(reading.confidence * 10_000),
    )
    data = encode_body(Alerts((statement,)))
    assert decode_body(Kind.ALERTS, data) == Alerts((statement,))


def test_own_findings_of_one_detection_are_one_reading_and_others_are_many() -> None:
    me, other = PeerId(bytes(32)), PeerId(bytes([1]) * 32)

    def made(subject: PeerId | str, severity: Severity, scope: str) -> object:
        return finding(X, subject, severity=severity, confidence=1, text=severity.name, scope=scope)  # type: ignore[arg-type]

    own = [made(me, Severity.LOW, "own"), made("10.0.0.0/24", Severity.HIGH, "own")]
    (one,) = readings(own)  # type: ignore[arg-type]
    assert (one.subject, one.text) == ("", "HIGH")
    network = [made(other, Severity.LOW, "network"), made("10.0.0.0/24", Severity.HIGH, "network")]
    assert {reading.subject for reading in readings(network)} == {ref(other).hex(), "10.0.0.0/24"}  # type: ignore[arg-type]


def test_the_gravest_are_kept() -> None:
    many = [finding(X, str(n), severity=Severity(n % 4), confidence=n / 300, text="t") for n in range(300)]
    kept = gravest(many, 100)
    assert len(kept) == 100
    assert {one.severity for one in kept} == {"critical", "high"}
