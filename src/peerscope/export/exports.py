"""The exports of one agent, by its settings. Modules of exports that are off are not imported."""

from __future__ import annotations

import asyncio
import contextlib
import random
import secrets
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any

from peerscope.export.config import ExportConfig, RemoteWriteView
from peerscope.export.election import ROLE, elected
from peerscope.host.extras import brought_by
from peerscope.host.threads import in_thread
from peerscope.records.identity import ref
from peerscope.views.peers import ahead_of_network_s

if TYPE_CHECKING:
    from prometheus_client.core import Metric

    from peerscope.export.exposition import Exposed
    from peerscope.export.otlp import Otlp
    from peerscope.export.receiver import RemoteWriteReceiver
    from peerscope.export.remote_write import RemoteWrite

CLOSE_S = 1.5


class Exports:
    """Remote write and traces of one agent, and the metrics for its routes."""

    def __init__(self, config: ExportConfig, agent: Exposed) -> None:
        """Nothing is opened. Raises `ConfigError` where an extra is missing or a secret cannot be read."""
        self.remote_write: RemoteWrite | None = None
        self.otlp: Otlp | None = None
        self._config = config
        self._agent = agent
        self._receiver: RemoteWriteReceiver | None = None
        if config.remote_write.url:
            with brought_by("remote-write", "export.remote_write"):
                import peerscope.export.remote_write
                from peerscope.export.receiver import RemoteWriteReceiver
            self._receiver = RemoteWriteReceiver(config.remote_write)
        if config.otlp.endpoint:
            with brought_by("otel", "export.otlp"):
                import peerscope.export.otlp  # noqa: F401  (needed later; fail now if the extra is missing)

    @property
    def roles(self) -> tuple[str, ...]:
        """Roles that this peer publishes."""
        return (ROLE,) if self._receiver is not None else ()

    @property
    def trouble(self) -> str | None:
        """Why the receiver of remote write takes no samples; None while it takes them."""
        return self.remote_write.trouble if self.remote_write is not None else None

    def standing(self) -> RemoteWriteView | None:
        """State of remote write; None where it is off."""
        return None if self.remote_write is None else self.remote_write.view()

    def collect(self, of_us: bool = True, of_all: bool = True) -> list[Metric]:
        """Collect the metrics of this peer, and of its network as this peer sees it."""
        from peerscope.export.exposition import network, own

        families = own(self._agent, self.remote_write, self.otlp) if of_us else []
        return families + network(self._agent) if of_all else families

    def parts(self) -> list[Callable[[], Coroutine[Any, Any, None]]]:
        """Loops to run from now on; call it once the agent has a peer."""
        agent, me = self._agent, self._agent.peer.me
        if self._config.otlp.endpoint:
            from peerscope.export.otlp import Otlp

            about = {"service.instance.id": me.hex(), "service.namespace": agent.config.network.name}
            self.otlp = Otlp(self._config.otlp, about)
            agent.traffic.on_trace.append(self.otlp.export)
        if self._receiver is None:
            return []
        from peerscope.export.remote_write import RemoteWrite

        rng = random.Random(secrets.randbits(128))
        write = self._config.remote_write, self._receiver, agent.state.path
        sight = self._labels, self._is_elected, self.collect
        self.remote_write = RemoteWrite(*write, *sight, rng, self._ahead_s)
        return [self.remote_write.run]

    async def close(self) -> None:
        """Send what can be sent within two seconds, and close everything."""
        parts: list[Coroutine[Any, Any, None]] = []
        if self.remote_write is not None:
            parts.append(self.remote_write.close())
        if self.otlp is not None:
            parts.append(_closed(self.otlp))
        await asyncio.gather(*parts)

    @property
    def _zone(self) -> str:
        profile = self._agent.peer.ledger.profile(self._agent.peer.me)
        return "" if profile is None else profile.zone

    def _labels(self) -> dict[str, str]:
        return {
            "network": self._agent.config.network.name,
            "zone": self._zone,
            "peer": ref(self._agent.peer.me).hex(),
        }

    def _is_elected(self) -> bool:
        return elected(self._agent.snapshot(), self._zone) == self._agent.peer.me

    def _ahead_s(self) -> float:
        return ahead_of_network_s(self._agent.snapshot()) or 0.0


async def _closed(otlp: Otlp) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(CLOSE_S):
            await in_thread(otlp.close, "otlp")
