"""Certificates and files that expire: how much of their life is left, and the command that renews them.

Rules `certificate-end` and `tls-end` warn from the last fifth of a life on, because nobody looks at a date that was set
months ago. Ends are wall-clock times, as in the certificates.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime

from msgspec import Struct

from peerscope.alerts.model import ConditionReading
from peerscope.mesh.membership.admission import NetworkConfig
from peerscope.records.alerts import Severity
from peerscope.records.certificates import Certificate
from peerscope.records.identity import PEER_REF_BYTES

SOON_RATIO = 0.2
"""Share of a life from which the log and `doctor` warn. Alert rules have their own thresholds."""
TEXT_MAX = 160
NAME_MAX = 64


class Expiry(Struct, frozen=True):
    """A certificate or file of this agent that expires."""

    what: str
    """Its setting: "network.certificate_file", "web.tls_cert"."""
    name: str
    """A serial number or a file."""
    begins_at: float
    ends_at: float
    """Both in Unix seconds."""
    renewal: str
    """How to renew it, for people."""

    def left_ratio(self, wall: float) -> float:
        """Share of its life left at this wall-clock time; 0 or less after the end."""
        return (self.ends_at - wall) / max(1.0, self.ends_at - self.begins_at)


def membership(certificate: Certificate) -> Expiry:
    """When a member's certificate expires."""
    begins_at, ends_at = certificate.not_before_ms / 1000, certificate.not_after_ms / 1000
    return Expiry("network.certificate_file", certificate.serial.hex(), begins_at, ends_at, renewal(certificate))


def renewal(certificate: Certificate) -> str:
    """The command that issues a new certificate for the same member, signed with the operator's key."""
    return issue_command(certificate.subject, certificate.network)


def issue_command(peer: bytes, network: str) -> str:
    """The command that issues a certificate for this peer in this network."""
    command = f"peerscope admit issue {peer.hex()}"
    return command if network == NetworkConfig().name else f"{command} --network {shlex.quote(network)}"


def certificate_reading(
    certificate: Certificate, wall: float, *, subject: str = "", is_cut_off: bool
) -> ConditionReading:
    """For `certificate-end`. `is_cut_off`: no peer has a link with its bearer; `subject`: "" for ourselves."""
    ending = membership(certificate)
    left, at = ending.left_ratio(wall), date(ending.ends_at)
    has_ended = left <= 0
    severity = Severity.MEDIUM if not has_ended else Severity.CRITICAL if is_cut_off else Severity.HIGH
    return ConditionReading(
        min(left, 0.0) if has_ended else left,
        subject=subject,
        text=_fitting(f"certificate {ending.name} {'ended' if has_ended else 'ends'} {at}", ending.renewal),
        severity=severity,
        metadata=(("serial", ending.name), ("ends", at), ("peer", certificate.subject.hex())),
    )


def lapsed_readings(certificates: Iterable[Certificate], wall: float) -> Iterator[ConditionReading]:
    """The same for members that this peer dropped."""
    for one in certificates:
        yield certificate_reading(one, wall, subject=one.subject[:PEER_REF_BYTES].hex(), is_cut_off=False)


def file_reading(endings: Iterable[Expiry], wall: float) -> ConditionReading | None:
    """For `tls-end`: the file with the least of its life left."""
    ranked = sorted(endings, key=lambda one: (one.left_ratio(wall), one.what))
    if not ranked:
        return None
    first, at = ranked[0], date(ranked[0].ends_at)
    left = first.left_ratio(wall)
    return ConditionReading(
        left,
        text=_fitting(f"{first.what} {'ended' if left <= 0 else 'ends'} {at}", first.renewal),
        severity=Severity.HIGH if left <= 0 else Severity.MEDIUM,
        metadata=(("setting", first.what[:NAME_MAX]), ("ends", at)),
    )


def date(at: float) -> str:
    """A wall-clock time for people, to the minute."""
    try:
        return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M UTC")
    except (OverflowError, ValueError, OSError):
        return "in another age"


def _fitting(text: str, command: str) -> str:
    """Text and command. If both are too long, the command alone, uncut."""
    for whole in (f"{text}; renew it: {command}", f"{text}: {command}", command):
        if len(whole) <= TEXT_MAX:
            return whole
    return command.partition(" --network ")[0] + " --network NAME"
