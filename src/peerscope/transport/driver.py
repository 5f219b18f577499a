"""Feeds the core from the transport and carries out what it asks. No protocol decision lives here."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from math import inf

from peerscope.core import Core, Effect, Event
from peerscope.host.clock import asleep, monotonic
from peerscope.mesh.events import Dial, Hangup, Received, Send
from peerscope.transport.base import Transport
from peerscope.views.throughput import Throughput

LOGGED_MAX = 10
HOLD_S = 1.0
"""After a turn that met a bug the next one waits for so long."""
log = logging.getLogger(__name__)


class Driver:
    """Runs one `Core` on a real transport."""

    def __init__(
        self,
        core: Core,
        transport: Transport,
        publish: Callable[[Effect], None],
        throughput: Throughput | None = None,
    ) -> None:
        """`publish`: called with every effect that is not for the transport; `throughput`: counts the messages."""
        self.core = core
        self._transport = transport
        self._publish = publish
        self._lag_s = 0.0
        self._throughput = throughput or Throughput(monotonic())
        self._held_until = -inf

    def feed(self, event: Event) -> None:
        """Hand the core an event of this process's own, in its turn."""
        self._transport.inject(event)

    def take_lag_s(self) -> float:
        """How late a turn came at worst since the last call."""
        lag_s, self._lag_s = self._lag_s, 0.0
        return lag_s

    async def run(self) -> None:
        """Drive until cancelled. Arrived messages come before the timer: a late turn is no proof of silence."""
        while True:
            slept = asleep()
            timeout_s = max(self.core.deadline(), self._held_until) - monotonic()
            for event in await self._transport.receive(max(0.0, timeout_s)):
                self._carry_out(self._handled(event))
            now, due = monotonic(), max(self.core.deadline(), self._held_until)
            if due <= now:
                # A sleeping machine is not late. The core compares its own deadlines: it heard no neighbour meanwhile.
                self._lag_s = max(self._lag_s, now - due - (asleep() - slept))
                self._carry_out(self._ticked(now))

    def _handled(self, event: Event) -> Sequence[Effect]:
        """The effects of one event. No message of a peer stops the agent, not even through an unknown bug of ours."""
        now = monotonic()
        if isinstance(event, Received):
            self._throughput.record(now, len(event.data))
        try:
            return self.core.handle(event, now)
        except Exception:
            if not isinstance(event, Received):
                raise
            self._met_a_bug("a message of peer %s met a bug and was dropped", event.peer.hex())
            return ()

    def _ticked(self, now: float) -> Sequence[Effect]:
        """The effects of one turn. No record of a peer stops the agent; the next turn does what this one left."""
        try:
            return self.core.tick(now)
        except Exception:
            self._held_until = now + HOLD_S
            self._met_a_bug("a turn met a bug; the next is in %s s", HOLD_S)
            return ()

    def _met_a_bug(self, text: str, *arguments: object) -> None:
        """Called while the exception is handled."""
        self.core.peer.refused["internal-error"] += 1
        if self.core.peer.refused["internal-error"] <= LOGGED_MAX:
            log.exception(text, *arguments)

    def _carry_out(self, effects: Sequence[Effect]) -> None:
        for effect in effects:
            match effect:
                case Send(to, data, lane):
                    self._throughput.record(monotonic(), len(data), sent=True)
                    self._transport.send(to, data, lane)
                case Dial(peer, addresses, afresh):
                    self._transport.dial(peer, addresses, afresh=afresh)
                case Hangup(peer, reason):
                    self._transport.hang_up(peer, reason)
                case _:
                    self._publish(effect)
