"""What ends by itself: how much of its life is left, and what renews it.

A thing with an end is announced from the last fifth of its life on (rules `certificate-end` and `tls-end`), because
nobody looks at a date that was set months ago. Ends are wall-clock times, as in the certificates themselves.
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
"""What is left of a life when the log and `doctor` announce its end; alert rules have numbers of their own."""
TEXT_MAX = 160
NAME_MAX = 64


class Expiry(Struct, frozen=True):
    """Something of this agent's that has an end."""

    what: str
    """The setting that names it: "network.certificate_file", "web.tls_cert"."""
    name: str
    """Which one it is: a serial number, a file."""
    begins_at: float
    ends_at: float
    """Unix seconds, both."""
    renewal: str
    """What to do about it, for people."""

    def left_ratio(self, wall: float) -> float:
        """Share of its life that is left at this wall-clock time; 0 or less once it has ended."""
        return (self.ends_at - wall) / max(1.0, self.ends_at - self.begins_at)


def membership(certificate: Certificate) -> Expiry:
    """The end of a member's certificate."""
    begins_at, ends_at = certificate.not_before_ms / 1000, certificate.not_after_ms / 1000
    return Expiry("network.certificate_file", certificate.serial.hex(), begins_at, ends_at, renewal(certificate))


def renewal(certificate: Certificate) -> str:
    """The command that makes another certificate for the same member; the operator's key signs it."""
    return issue_command(certificate.subject, certificate.network)


def issue_command(peer: bytes, network: str) -> str:
    """The command that makes a certificate for this peer in this network."""
    command = f"peerscope admit issue {peer.hex()}"
    return command if network == NetworkConfig().name else f"{command} --network {shlex.quote(network)}"


def certificate_reading(
    certificate: Certificate, wall: float, *, subject: str = "", is_cut_off: bool
) -> ConditionReading:
    """For `certificate-end`. `is_cut_off`: nobody is linked with its bearer any more; `subject`: "" for ourselves."""
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
    """The same of members that were dropped, by those who dropped them."""
    for one in certificates:
        yield certificate_reading(one, wall, subject=one.subject[:PEER_REF_BYTES].hex(), is_cut_off=False)


def file_reading(endings: Iterable[Expiry], wall: float) -> ConditionReading | None:
    """For `tls-end`: of these files the one with the least of its life left."""
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


def _fitting(said: str, command: str) -> str:
    """Both; where there is no room for both the command, which must not be cut."""
    for text in (f"{said}; renew it: {command}", f"{said}: {command}", command):
        if len(text) <= TEXT_MAX:
            return text
    return command.partition(" --network ")[0] + " --network NAME"
