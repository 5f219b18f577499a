"""One dial: how often iroh is asked to connect.

A first packet that nobody receives is sent again after 1, 2, 4 and 8 seconds (RFC 9002, section 6.2). A peer that
starts again in one of those pauses would wait for the end of it. A neighbour that has just fallen silent may be such a
peer, so a dial to it begins anew a few times. Only one connection is under way at a time: the other end might write to
one that is given up.
"""

from __future__ import annotations

import asyncio
import contextlib

import iroh

ANEW_S = (2.0, 2.0, 2.0, 2.0, 4.0)
"""How long the first connections of such a dial are tried. The last one has the rest of the time: on a machine that is
behind, a handshake takes long."""


async def connect(
    endpoint: iroh.Endpoint, address: iroh.EndpointAddr, alpn: bytes, *, anew_s: tuple[float, ...] = ()
) -> iroh.Connection:
    """A connection that stands. Waits until cancelled, but after each of the times `anew_s` it gives up and begins
    another one. Raises `IrohError`."""
    for seconds in anew_s:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                return await endpoint.connect(address, alpn)
    return await endpoint.connect(address, alpn)
