"""A relay for tests: as much of iroh's relay protocol, version 2, as real iroh endpoints need to talk through it.

What it does not do: check who somebody is, limit anybody, help endpoints to find their own addresses. The protocol is
that of `iroh-relay`, whose own program is not among those that a test machine can install.
"""

import secrets
from collections import Counter
from http import HTTPStatus
from typing import Any

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

PROTOCOLS = ["iroh-relay-v2", "iroh-relay-v1"]
SERVER_CHALLENGE, CLIENT_AUTH, SERVER_CONFIRMS_AUTH = 0, 1, 2
CLIENT_TO_RELAY = {4: 6, 5: 7}
"""Datagrams, alone or several in one, and what they are called on their way out."""
PING, PONG = 9, 10
ID_BYTES = 32
FRAME_BYTES_MAX = 1024 * 1024


class Relay:
    """Passes datagrams on between the endpoints that are connected."""

    def __init__(self) -> None:
        self.passed: Counter[tuple[bytes, bytes]] = Counter()
        """Datagrams by sender and receiver."""
        self.connected: dict[bytes, ServerConnection] = {}
        self._server: Server | None = None

    async def open(self, host: str, port: int = 0) -> int:
        """Listen from now on; the port."""
        self._server = await serve(
            self._served, host, port, process_request=_probed, subprotocols=PROTOCOLS, max_size=FRAME_BYTES_MAX
        )
        return next(iter(self._server.sockets)).getsockname()[1]

    async def close(self) -> None:
        """Everybody is disconnected, and nobody is let in."""
        assert self._server is not None
        self._server.close()
        await self._server.wait_closed()

    async def _served(self, client: ServerConnection) -> None:
        await client.send(bytes([SERVER_CHALLENGE]) + secrets.token_bytes(16))
        said: Any = await client.recv()
        assert said[0] == CLIENT_AUTH
        me = said[1 : 1 + ID_BYTES]
        await client.send(bytes([SERVER_CONFIRMS_AUTH]))
        self.connected[me] = client
        async for frame in client:
            assert isinstance(frame, bytes)
            if frame[0] in CLIENT_TO_RELAY:
                await self._pass(me, frame)
            elif frame[0] == PING:
                await client.send(bytes([PONG]) + frame[1:])

    async def _pass(self, sender: bytes, frame: bytes) -> None:
        receiver, rest = frame[1 : 1 + ID_BYTES], frame[1 + ID_BYTES :]
        if receiver in self.connected:
            self.passed[sender, receiver] += 1
            try:
                await self.connected[receiver].send(bytes([CLIENT_TO_RELAY[frame[0]]]) + sender + rest)
            except ConnectionClosed:
                del self.connected[receiver]


async def _probed(connection: ServerConnection, request: Request) -> Response | None:
    """Everything but the relay itself is asked in order to see how far away we are."""
    return None if request.path == "/relay" else connection.respond(HTTPStatus.OK, "")
