"""The live feed of an agent, followed from a terminal."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import Callable
from typing import NoReturn

from websockets.asyncio.client import connect
from websockets.exceptions import WebSocketException

from peerscope.top.network import Gap, NetworkSummary

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
    """Keep `network` up to date until cancelled. `news` is called after each message, `state` with "live", or with what
    keeps us from it."""
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
