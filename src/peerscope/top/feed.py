"""The live feed of an agent, as a terminal follows it: the last snapshot, with all changes since."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import Callable
from typing import Any, NoReturn

from websockets.asyncio.client import connect
from websockets.exceptions import WebSocketException

TABLES = ("peers", "alerts", "links", "gone", "alerts_gone", "links_gone")
"""Keys that are no facts; those of what is gone are of release 0.1.0."""


class Gap(Exception):
    """A delta is missing, so that the client needs a new snapshot."""


class NetworkSummary:
    """One peer's view of the network, from its feed."""

    def __init__(self) -> None:
        self.seq: int | None = None
        """Number of the last message; None before the first."""
        self.timestamp = 0.0
        """Unix seconds of the last message, by the agent's clock."""
        self.facts: dict[str, Any] = {}
        """Parts that the feed sends whole: self, health, verdicts, regions, trends, trouble, map."""
        self.peers: dict[str, dict[str, Any]] = {}
        self.alerts: dict[str, dict[str, Any]] = {}
        self.measures: list[dict[str, Any]] = []
        """Values that nodes name themselves, over all nodes; not part of the feed."""

    def take(self, message: dict[str, Any]) -> None:
        """Apply one message. Raises `Gap` and changes nothing if messages are missing."""
        kind, seq, data = message["type"], message["seq"], message["data"]
        if kind == "snapshot":
            self.facts, self.peers, self.alerts = {}, {}, {}
        elif kind not in ("changes", "delta"):
            return  # of a newer agent
        elif self.seq is None or seq != self.seq + 1:
            raise Gap(f"expected message {None if self.seq is None else self.seq + 1}, got {seq}")
        self.seq, self.timestamp = seq, message["timestamp"]
        for rows, table, key in ((self.peers, "peers", "peer_id"), (self.alerts, "alerts", "id")):
            if kind == "changes":
                change(rows, data.get(table, {}), key)
                continue
            for name in data.get("gone" if table == "peers" else "alerts_gone", ()):  # a `delta` of release 0.1.0
                rows.pop(name, None)
            rows |= {row[key]: row for row in data[table]}
        self.facts |= {name: value for name, value in data.items() if name not in TABLES}


def change(rows: dict[str, dict[str, Any]], changes: dict[str, Any], key: str) -> None:
    """Apply the changes of one table: rows by the value of their field `key`. Raises `KeyError` for unknown rows."""
    names = {row["n"]: name for name, row in rows.items()}
    for number in changes.get("gone", ()):
        del rows[names[number]]
    for row in changes.get("new", ()):
        rows[row[key]] = row
    for field, values in changes.get("fields", {}).items():
        for number, value in values:
            row = rows[names[number]]
            if value is None:
                row.pop(field, None)
            else:
                row[field] = value


RETRY_S = (0.5, 15.0)
CLOSE_S = 1.0
MESSAGE_BYTES_MAX = 64 * 1024 * 1024
"""A snapshot of 10,000 peers takes about 6 MB."""


async def follow(
    api: str,
    token: str,
    ca: str | None,
    network: NetworkSummary,
    *,
    news: Callable[[], None],
    state: Callable[[str], None],
) -> NoReturn:
    """Keep `network` current until cancelled. Calls `news` after each message, and `state` with "live" or the error."""
    address = f"ws{api.rstrip('/').removeprefix('http')}/dashboard"
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    context = ssl.create_default_context(cafile=ca) if address.startswith("wss:") else None
    wait_s = RETRY_S[0]
    while True:
        try:
            async with connect(
                address,
                additional_headers=headers,
                ssl=context,
                proxy=None,
                max_size=MESSAGE_BYTES_MAX,
                close_timeout=CLOSE_S,
            ) as socket:
                async for text in socket:
                    network.take(json.loads(text))
                    wait_s = RETRY_S[0]
                    state("live")
                    news()
            reason = "the agent ended the feed"
        except (OSError, WebSocketException, Gap, ValueError, KeyError) as error:
            reason = " ".join(str(error).split())[:120] or type(error).__name__
        state(f"{reason}; again in {wait_s:.0f} s")
        await asyncio.sleep(wait_s)
        wait_s = min(RETRY_S[1], wait_s * 2)
