"""Says in the log, once each, that something ends soon, that it has ended, and that it was renewed."""

from __future__ import annotations

import logging
import shlex
from collections.abc import Iterable, Iterator

from msgspec.structs import replace

from peerscope.alerts.expiry import SOON_RATIO, Expiry, date, membership
from peerscope.alerts.silences import StandingOrders
from peerscope.mesh.membership.admission import Admission
from peerscope.records.identity import PeerId, short

FAR, SOON, OVER = range(3)
SAID_MAX = 512

log = logging.getLogger(__name__)


class ExpiryLog:
    """Call `look` now and then."""

    def __init__(self) -> None:
        self._near: dict[str, tuple[int, Expiry]] = {}
        """The last stage of each thing that is not far from its end."""

    def look(self, endings: Iterable[Expiry], wall: float) -> None:
        """Compare with the last look. `wall`: Unix seconds. An end that is no longer among them has passed if its
        time is up; else somebody removed it, and knows."""
        present = {one.what: one for one in endings}
        gone = [one for what, (stage, one) in self._near.items() if what not in present and stage == SOON]
        near: dict[str, tuple[int, Expiry]] = {}
        for one in (*present.values(), *(one for one in gone if one.left_ratio(wall) <= 0)):
            left = one.left_ratio(wall)
            stage = OVER if left <= 0 else SOON if left < SOON_RATIO else FAR
            before = self._near.get(one.what, (FAR, one))[0]
            if stage > before:
                verb = "has ended" if stage == OVER else "ends"
                log.warning("%s (%s) %s %s; renew it: %s", one.what, one.name, verb, date(one.ends_at), one.renewal)
            elif stage < before:
                log.info("%s (%s) was renewed and ends %s", one.what, one.name, date(one.ends_at))
            if stage != FAR and one.what in present and len(near) < SAID_MAX:
                near[one.what] = stage, one
        self._near = near


def of_membership(admission: Admission) -> Iterator[Expiry]:
    """Our certificate, and those of members that were dropped at their end."""
    if admission.certificate is not None:
        ours = membership(admission.certificate)
        place = admission.config.certificate_file
        yield replace(ours, renewal=f"{ours.renewal} -o FILE, then copy FILE over {place}") if place else ours
    for one in admission.lapsed.certificates:
        yield replace(membership(one), what=f"the certificate of member {short(PeerId(one.subject))}")


def of_silences(orders: StandingOrders) -> Iterator[Expiry]:
    """Silences of any operator that hold now, but for windows of planned ones: at the end messages begin again."""
    for one in (silence for silence in orders.silences if not silence.windows):
        matchers = " ".join(shlex.quote(f"{field}={pattern}") for field, pattern in one.matchers)
        command = f"peerscope silence {matchers} --for 2h --reason TEXT"
        yield Expiry(f"silence {one.id} of {one.author}", matchers, one.begun_at, one.ends_at, command)
