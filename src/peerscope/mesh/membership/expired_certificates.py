"""Members whose certificate has ended, so that those who drop them can name them.

A member counts as lapsed when it was dropped at the end of its certificate, or when it shows an ended one on a
connection of its own. Both prove that an operator signed the certificate, and that its bearer was there. Records that
others pass on do not count: they may be old.
"""

from __future__ import annotations

from collections.abc import Iterable

from peerscope.records.certificates import Certificate
from peerscope.records.identity import PeerId

LAPSED_MAX = 256
LAPSED_MS = 30 * 86_400_000
"""An operator who has not renewed a certificate so long after its end does not mean to."""


class ExpiredCertificates:
    """By member, the certificate that ended last."""

    def __init__(self) -> None:
        self._ended: dict[PeerId, Certificate] = {}

    @property
    def certificates(self) -> tuple[Certificate, ...]:
        """All of them, in the order of their ends."""
        return tuple(sorted(self._ended.values(), key=lambda one: (one.not_after_ms, one.subject)))

    def note(self, certificate: Certificate, wall_ms: int) -> None:
        """A member showed this certificate after its end, or was dropped at its end."""
        peer = PeerId(certificate.subject)
        before = self._ended.get(peer)
        is_later = before is None or certificate.not_after_ms > before.not_after_ms
        if is_later and 0 < wall_ms - certificate.not_after_ms <= LAPSED_MS:
            self._ended[peer] = certificate
        while len(self._ended) > LAPSED_MAX:
            del self._ended[next(iter(self._ended))]

    def review(self, members: Iterable[PeerId], wall_ms: int) -> None:
        """Forget who is a member again, and what ended too long ago, or not yet: a clock was set back."""
        for peer in members:
            self._ended.pop(peer, None)
        for peer, one in list(self._ended.items()):
            if not 0 < wall_ms - one.not_after_ms <= LAPSED_MS:
                del self._ended[peer]

    def forget(self, peer: PeerId) -> None:
        """An operator does not want it back."""
        self._ended.pop(peer, None)
