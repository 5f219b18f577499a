"""Decentralised monitoring for peer-to-peer networks.

async with Monitor(Config.load("peerscope.toml")) as monitor:
    health = monitor.network_health()
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from peerscope.host.version import __version__ as __version__

__all__ = ["Config", "Monitor", "PeerId", "Telemetry"]

if TYPE_CHECKING:
    from peerscope.agent.monitor import Monitor
    from peerscope.config import Config
    from peerscope.records.identity import PeerId
    from peerscope.sources.telemetry import Telemetry

_HOMES = {
    "Config": "peerscope.config",
    "Monitor": "peerscope.agent.monitor",
    "PeerId": "peerscope.records.identity",
    "Telemetry": "peerscope.sources.telemetry",
}


def __getattr__(name: str) -> Any:
    """Import on first use: the command line must answer `--help` without loading a QUIC stack."""
    if name in _HOMES:
        from importlib import import_module

        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
