"""The log says once that something ends soon, that it has ended, and that it was renewed."""

import logging
from random import Random

import pytest

from peerscope.agent.expiry_log import SAID_MAX, ExpiryLog, of_membership, of_silences
from peerscope.alerts.expiry import Expiry
from peerscope.alerts.silences import StandingOrders, StandingSilence
from peerscope.mesh.membership.admission import Admission, NetworkConfig
from peerscope.records.certificates import certify
from strategies import IDENTITIES

ME, OTHER, OPERATOR = IDENTITIES[1], IDENTITIES[2], IDENTITIES[4]


def ending(ends_at: float = 1000.0, *, begins_at: float = 0.0, name: str = "first") -> Expiry:
    return Expiry("network.certificate_file", name, begins_at, ends_at, "peerscope admit issue ID")


def test_each_stage_is_said_once_and_a_renewal_as_well(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    said = ExpiryLog()
    for at in (0.0, 799.0, 801.0, 850.0, 1000.0, 2000.0):
        said.look([ending()], at)
    for at in (2001.0, 2002.0):
        said.look([ending(10_000.0, begins_at=2000.0, name="second")], at)
    assert [(one.levelname, one.message) for one in caplog.records] == [
        ("WARNING", "network.certificate_file (first) ends 1970-01-01 00:16 UTC; renew it: peerscope admit issue ID"),
        (
            "WARNING",
            "network.certificate_file (first) has ended 1970-01-01 00:16 UTC; renew it: peerscope admit issue ID",
        ),
        ("INFO", "network.certificate_file (second) was renewed and ends 1970-01-01 02:46 UTC"),
    ]


def test_what_is_far_from_its_end_and_what_is_not_there_are_not_said(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    said = ExpiryLog()
    said.look([], 0.0)
    said.look([ending()], 100.0)
    said.look([], 900.0)
    assert caplog.records == []


def test_it_remembers_only_so_many(caplog: pytest.LogCaptureFixture) -> None:
    many = [Expiry(f"member {number}", "", 0.0, 10.0, "") for number in range(SAID_MAX + 100)]
    said = ExpiryLog()
    said.look(many, 20.0)
    assert len(said._near) == SAID_MAX


def test_our_own_certificate_is_named_with_its_file_and_those_of_dropped_members_with_their_ids() -> None:
    config = NetworkConfig(operators=(OPERATOR.peer_id.hex(),), certificate_file="/etc/peerscope/certificate")
    admission = Admission(config, ME.peer_id, Random(0))
    assert list(of_membership(admission)) == []
    span = {"not_before_ms": 0, "not_after_ms": 10_000}
    admission.certificate = certify(OPERATOR, ME.peer_id, "peerscope", serial=bytes(8), **span)
    admission.lapsed.note(certify(OPERATOR, OTHER.peer_id, "peerscope", serial=bytes(8), **span), 20_000)
    ours, theirs = of_membership(admission)
    assert ours.renewal == (
        f"peerscope admit issue {ME.peer_id.hex()} -o FILE, then copy FILE over /etc/peerscope/certificate"
    )
    assert theirs.what.startswith("the certificate of member ")
    assert theirs.renewal == f"peerscope admit issue {OTHER.peer_id.hex()}"


@pytest.mark.parametrize("lifted_at", [None, 500.0, 900.0])
def test_the_end_of_a_silence_is_said_before_it_comes_and_when_it_is_there_unless_somebody_lifted_it(
    caplog: pytest.LogCaptureFixture, lifted_at: float | None
) -> None:
    one = StandingSilence("5b0c91d2", (("rule", "cpu-*"),), 0.0, 1000.0, "alice", "load test", "ab" * 32)
    said = ExpiryLog()
    for at in (100.0, 500.0, 850.0, 900.0, 950.0, 1001.0, 1100.0):
        holds = at < (lifted_at or one.ends_at)
        said.look(of_silences(StandingOrders((one,) if holds else ())), at)
    command = "1970-01-01 00:16 UTC; renew it: peerscope silence 'rule=cpu-*' --for 2h --reason TEXT"
    before, after = (f"silence 5b0c91d2 of alice ('rule=cpu-*') {verb} {command}" for verb in ("ends", "has ended"))
    assert caplog.messages == {None: [before, after], 500.0: [], 900.0: [before]}[lifted_at]
