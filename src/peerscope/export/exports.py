"""What of this folder runs in an agent, as its settings say. Nothing that is not wanted is imported."""

from __future__ import annotations

import asyncio
import contextlib
import random
import secrets
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any

from peerscope.export.config import ExportConfig
from peerscope.export.election import ROLE, elected
from peerscope.export.standing import RemoteWriteView
from peerscope.host.extras import brought_by
from peerscope.host.threads import in_thread
from peerscope.records.identity import ref
from peerscope.views.peers import ahead_of_network_s

if TYPE_CHECKING:
    from prometheus_client.core import Metric

    from peerscope.agent.monitor import Monitor
    from peerscope.export.otlp import Otlp
    from peerscope.export.receiver import RemoteWriteReceiver
    from peerscope.export.remote_write import RemoteWrite

CLOSE_S = 1.5


class Exports:
    """Remote write and traces of one agent. What is asked for, /metrics and the rest, are routes and need no object."""

    def __init__(self, config: ExportConfig, monitor: Monitor) -> None:
        """Nothing is opened. Raises `ConfigError` where an extra is missing or a secret cannot be read."""
        self.remote_write: RemoteWrite | None = None
        self.otlp: Otlp | None = None
        self._config = config
        self._monitor = monitor
        self._receiver: RemoteWriteReceiver | None = None
        if config.remote_write.url:
            with brought_by("remote-write", "export.remote_write"):
                import peerscope.export.remote_write
                from peerscope.export.receiver import RemoteWriteReceiver
            self._receiver = RemoteWriteReceiver(config.remote_write)
        if config.otlp.endpoint:
            with brought_by("otel", "export.otlp"):
                import peerscope.export.otlp  # noqa: F401  (needed later; a missing extra is told at once)

    @property
    def roles(self) -> tuple[str, ...]:
        """What this peer declares that it can do."""
        return (ROLE,) if self._receiver is not None else ()

    @property
    def trouble(self) -> str | None:
        """Why the receiver of remote write does not take samples; None while it does."""
        return self.remote_write.trouble if self.remote_write is not None else None

    def standing(self) -> RemoteWriteView | None:
        """How remote write is doing; None where there is none."""
        return None if self.remote_write is None else self.remote_write.view()

    def parts(self) -> list[Callable[[], Coroutine[Any, Any, None]]]:
        """What has to run from now on; call it once the agent has a peer."""
        monitor, me = self._monitor, self._monitor.peer.me
        if self._config.otlp.endpoint:
            from peerscope.export.otlp import Otlp

            about = {"service.instance.id": me.hex(), "service.namespace": monitor.config.network.name}
            self.otlp = Otlp(self._config.otlp, about)
            monitor.traffic.on_trace.append(self.otlp.tell)
        if self._receiver is None:
            return []
        from peerscope.export.remote_write import RemoteWrite

        rng = random.Random(secrets.randbits(128))
        write = self._config.remote_write, self._receiver, monitor.state.path
        sight = self._labels, self._is_elected, self._collect
        self.remote_write = RemoteWrite(*write, *sight, rng, self._ahead_s)
        return [self.remote_write.run]

    async def close(self) -> None:
        """Let go of everything within two seconds, with what can be sent by then."""
        parts: list[Coroutine[Any, Any, None]] = []
        if self.remote_write is not None:
            parts.append(self.remote_write.close())
        if self.otlp is not None:
            parts.append(_closed(self.otlp))
        await asyncio.gather(*parts)

    @property
    def _zone(self) -> str:
        said = self._monitor.peer.ledger.profile(self._monitor.peer.me)
        return "" if said is None else said.zone

    def _labels(self) -> dict[str, str]:
        return {
            "network": self._monitor.config.network.name,
            "zone": self._zone,
            "peer": ref(self._monitor.peer.me).hex(),
        }

    def _is_elected(self) -> bool:
        return elected(self._monitor.snapshot(), self._zone) == self._monitor.peer.me

    def _ahead_s(self) -> float:
        return ahead_of_network_s(self._monitor.snapshot()) or 0.0

    def _collect(self, of_us: bool, of_all: bool) -> list[Metric]:
        from peerscope.export.exposition import collect

        return collect(self._monitor, of_us=of_us, of_all=of_all)


async def _closed(otlp: Otlp) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(CLOSE_S):
            await in_thread(otlp.close, "otlp")
