"""Silences that were ordered here in advance, and their next windows."""

from __future__ import annotations

import logging

from msgspec import Struct

from peerscope.errors import ConfigError
from peerscope.notify.schedule import Schedule, Window, upcoming

log = logging.getLogger(__name__)


class KeptSchedule(Struct, frozen=True):
    """A silence that was ordered here in advance."""

    id: str
    matchers: tuple[tuple[str, str], ...]
    schedule: Schedule
    author: str
    reason: str


class WindowCache:
    """The next windows of silences that were ordered in advance, evaluated again as they pass."""

    def __init__(self) -> None:
        self.have_passed = False
        """Some have passed since they were published."""
        self._known: dict[str, tuple[Window, ...]] = {}
        self._told: set[str] = set()

    def of(self, order: KeptSchedule, now: float) -> tuple[Window, ...]:
        """Windows that are not over; none where the zone of the rule is unknown on this machine."""
        known = self._known.get(order.id)
        if known is None or (known and known[0][1] <= now):
            self.have_passed = known is not None or self.have_passed
            try:
                self._known[order.id] = known = upcoming(order.schedule, now)
            except ConfigError as error:
                if order.id not in self._told:
                    log.warning("silence %s does not hold: %s", order.id, error)
                    self._told.add(order.id)
                return ()
        return known

    def is_over(self, order: KeptSchedule, now: float) -> bool:
        """No window is left."""
        return not self.of(order, now) and order.id in self._known
