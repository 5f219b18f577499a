"""Says in the log, once each, that something ends soon, that it has ended, and that it was renewed."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator

from msgspec.structs import replace

from peerscope.alerts.endings import SOON_RATIO, Ending, date, membership
from peerscope.mesh.admission import Admission
from peerscope.records.identity import PeerId, short

FAR, SOON, OVER = range(3)
SAID_MAX = 512

log = logging.getLogger(__name__)


class EndingLog:
    """Call `look` now and then."""

    def __init__(self) -> None:
        self._said: dict[str, int] = {}
        """The last stage of each thing that is not far from its end."""

    def look(self, endings: Iterable[Ending], wall: float) -> None:
        """Compare with the last look. `wall`: Unix seconds."""
        stages: dict[str, int] = {}
        for one in endings:
            left = one.left_ratio(wall)
            stage = stages[one.what] = OVER if left <= 0 else SOON if left < SOON_RATIO else FAR
            before = self._said.get(one.what, FAR)
            if stage > before:
                verb = "has ended" if stage == OVER else "ends"
                log.warning("%s (%s) %s %s; renew it: %s", one.what, one.name, verb, date(one.ends_at), one.renewal)
            elif stage < before:
                log.info("%s (%s) was renewed and ends %s", one.what, one.name, date(one.ends_at))
        self._said = {what: stage for what, stage in list(stages.items())[:SAID_MAX] if stage != FAR}


def of_membership(admission: Admission) -> Iterator[Ending]:
    """Our certificate, and those of members that were dropped at their end."""
    if admission.certificate is not None:
        ours = membership(admission.certificate)
        place = admission.config.certificate_file
        yield replace(ours, renewal=f"{ours.renewal} -o FILE, then copy FILE over {place}") if place else ours
    for one in admission.lapsed.certificates:
        yield replace(membership(one), what=f"the certificate of member {short(PeerId(one.subject))}")
