"""What ends by itself: how it is announced, and that the command in an alert is whole and works."""

import json
import shlex
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from ledgers import meshed
from peerscope.alerts.expiry import Expiry, certificate_reading, file_reading, membership
from peerscope.alerts.model import ConditionReading
from peerscope.alerts.network_signals import NETWORK_SIGNALS
from peerscope.alerts.own_signals import OWN_SIGNALS, Own, SignalContext
from peerscope.alerts.rules import Rule, default_rules, parse_rules
from peerscope.cli import cli
from peerscope.errors import ConfigError
from peerscope.mesh.membership.admission import LAPSED_MAX, LAPSED_MS, ExpiredCertificates
from peerscope.records.alerts import Severity
from peerscope.records.certificates import Certificate, certify
from peerscope.records.identity import PeerId
from strategies import IDENTITIES

ME, OTHER, OPERATOR = IDENTITIES[1], IDENTITIES[2], IDENTITIES[4]
DAY_S = 86_400.0
ISSUED_S = 1_700_000_000.0


def certificate(subject: PeerId = ME.peer_id, *, days: float = 90, network: str = "peerscope") -> Certificate:
    span = {"not_before_ms": round(ISSUED_S * 1000), "not_after_ms": round((ISSUED_S + days * DAY_S) * 1000)}
    return certify(OPERATOR, subject, network, serial=bytes(range(8)), **span)


def rule(name: str) -> Rule:
    return next(one for one in default_rules() if one.name == name)


def read(own: Own, day: float, signal: str = "certificate_left_ratio") -> list[ConditionReading]:
    snapshot = meshed(3).snapshot(1.0)
    snapshot.wall = ISSUED_S + day * DAY_S
    return list(OWN_SIGNALS[signal](SignalContext(snapshot, own)))


@pytest.mark.parametrize(
    ("day", "holds", "severity"),
    [
        (0.0, False, Severity.MEDIUM),
        (71.9, False, Severity.MEDIUM),
        (72.1, True, Severity.MEDIUM),
        (89.9, True, Severity.MEDIUM),
        (90.1, True, Severity.HIGH),
        (500.0, True, Severity.HIGH),
    ],
)
def test_a_certificate_is_announced_from_the_last_fifth_of_its_life_on(
    day: float, holds: bool, severity: Severity
) -> None:
    (found,) = read(Own(certificate=certificate(), linked=3), day)
    assert found.value is not None
    assert (rule("certificate-end").holds(found.value, fires=False), found.severity) == (holds, severity)


def test_a_peer_that_lost_everybody_at_the_end_of_its_certificate_is_critical() -> None:
    (found,) = read(Own(certificate=certificate(), linked=0), 90.1)
    assert found.severity is Severity.CRITICAL
    assert found.text.startswith("certificate 0001020304050607 ended 2024-02-12 22:13 UTC")


def test_a_peer_without_a_certificate_and_without_files_announces_nothing() -> None:
    assert read(Own(linked=3), 90.1) == []
    assert read(Own(linked=3), 90.1, "tls_left_ratio") == []
    assert list(NETWORK_SIGNALS["certificate_left_ratio"](SignalContext(meshed(3).snapshot(1.0)))) == []


@given(st.text(st.characters(categories=("L", "N", "P", "S", "Zs"), codec="utf-8"), min_size=1, max_size=64))
def test_the_command_in_an_alert_is_never_cut_and_is_one_that_a_shell_reads(network: str) -> None:
    one = certificate(network=network)
    text = certificate_reading(one, ISSUED_S, is_cut_off=False).text
    assert len(text) <= 160
    if text.endswith(" --network NAME"):
        assert len(shlex.quote(network)) > 60
        return
    command = shlex.split(text[text.index("peerscope admit issue") :])
    assert command[3] == ME.peer_id.hex()
    assert command[4:] == ([] if network == "peerscope" else ["--network", network])


@pytest.mark.parametrize("network", ["peerscope", "my net"])
def test_the_command_in_an_alert_renews_the_certificate(
    network: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    operator = CliRunner().invoke(cli, ["admit", "keygen", "--json"])
    assert operator.exit_code == 0
    command = shlex.split(membership(certificate(network=network)).renewal)
    made = CliRunner().invoke(cli, [*command[1:], "--json"])
    assert made.exit_code == 0, made.output
    told = json.loads(made.stdout)
    assert (told["peer_id"], told["network"], told["signed"]) == (ME.peer_id.hex(), network, True)


def test_of_several_files_the_one_with_the_least_left_is_named() -> None:
    long = Expiry("notify.channels.0.ca_file", "ca.pem", 0.0, 1000.0, "replace ca.pem")
    short = Expiry("web.tls_cert", "cert.pem", 0.0, 500.0, "replace cert.pem")
    found = file_reading([long, short], 450.0)
    assert found is not None
    assert found.value == pytest.approx(0.1)
    assert found.text.startswith("web.tls_cert ends 1970-01-01 00:08 UTC; renew it: replace cert.pem")
    assert file_reading([], 450.0) is None


class TestLapsed:
    """Members that were dropped at the end of their certificates."""

    END_MS = certificate().not_after_ms

    def test_the_latest_certificate_of_each_counts(self) -> None:
        lapsed = ExpiredCertificates()
        for one in (certificate(), certificate(days=10), certificate(OTHER.peer_id)):
            lapsed.note(one, self.END_MS + 1)
        assert set(lapsed.certificates) == {certificate(), certificate(OTHER.peer_id)}

    @pytest.mark.parametrize("late_ms", [-1, 0, LAPSED_MS + 1])
    def test_what_has_not_ended_or_ended_long_ago_is_none(self, late_ms: int) -> None:
        lapsed = ExpiredCertificates()
        lapsed.note(certificate(), self.END_MS + late_ms)
        assert lapsed.certificates == ()
        lapsed.note(certificate(), self.END_MS + 1)
        lapsed.review((), self.END_MS + late_ms)
        assert lapsed.certificates == ()

    def test_whoever_is_a_member_again_is_forgotten(self) -> None:
        lapsed = ExpiredCertificates()
        lapsed.note(certificate(), self.END_MS + 1)
        lapsed.review((ME.peer_id,), self.END_MS + 2)
        assert lapsed.certificates == ()

    def test_there_is_room_for_so_many(self) -> None:
        lapsed = ExpiredCertificates()
        for number in range(LAPSED_MAX + 5):
            lapsed.note(certificate(PeerId(number.to_bytes(32, "big"))), self.END_MS + 1)
        assert len(lapsed.certificates) == LAPSED_MAX


def test_a_rule_of_both_scopes_needs_a_signal_of_both() -> None:
    text = '[x]\ntype = "t"\nsignal = "cpu_ratio"\nscope = "both"\nabove = 0.5\nseverity = "low"\ntitle = "t"\n'
    with pytest.raises(ConfigError, match="no rule of scope 'both'"):
        parse_rules(text, "mine")
