"""Talks to `contrib/crawl-libp2p/dial.mjs`, which dials libp2p nodes: one JSON object per line, each way.

Python has py-libp2p, which dials js-libp2p well. But 0.8.1 needs protobuf below 7, which excludes our extra
`remote-write`, and brings 60 packages. So the crawl runs js-libp2p as a child process, whose packages stay in a folder
of their own.
"""

from __future__ import annotations

import asyncio
import os
import shutil
from pathlib import Path
from types import TracebackType
from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from peerscope.errors import ConfigError, RemoteError, TransportError

LINE_BYTES_MAX = 1 << 20
READY_S = 30.0
"""Time for Node.js to load the packages; a small machine under load takes some seconds."""
ANSWER_S = 18.0
"""Above the limits of the program for dialling, identifying and asking."""
HERE = Path(__file__).parents[3] / "contrib" / "crawl-libp2p"
"""The folder in a source tree."""
ERRORS = {
    "ECONNREFUSED": "connection refused",
    "ECONNRESET": "connection reset",
    "EPIPE": "connection reset",
    "ETIMEDOUT": "no answer to the dial",
    "TimeoutError": "no answer in time",
    "AbortError": "no answer in time",
    "EHOSTUNREACH": "no route",
    "ENETUNREACH": "no route",
    "UnexpectedPeerError": "another peer answers there",
    "EncryptionFailedError": "no common encryption",
    "HandshakeFailedError": "no handshake of libp2p",
    "UnexpectedEOFError": "hung up",
    "StreamClosedError": "hung up",
    "StreamResetError": "hung up",
    "ConnectionClosedError": "hung up",
    "MuxerUnavailableError": "no common multiplexer",
    "UnsupportedProtocolError": "does not speak the protocol",
    "InvalidDataLengthError": "bad answer",
    "MalformedAnswer": "bad answer",
}
"""Errors of js-libp2p, in words. All others are "other error", so that what a node says makes no distribution long."""

Text = Annotated[str, Meta(max_length=1024)]


class DialAnswer(Struct, frozen=True):
    """One line of the program."""

    id: int | None = None
    ready: bool = False
    error: Text | None = None
    remote: Text | None = None
    agent: str | None = None
    closer: tuple[tuple[Text, tuple[Text, ...]], ...] | None = None


class Dialer:
    """The child process. `dial` and `find` raise `TransportError`, or `RemoteError` for a bad answer."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self._waiting: dict[int, asyncio.Future[DialAnswer]] = {}
        self._number = 0
        self._reading: asyncio.Task[None] | None = None

    @classmethod
    async def start(cls, folder: str | None, protocol: str) -> Dialer:
        """A running program. Raises `ConfigError` with the remedy if it does not start."""
        place = Path(folder).expanduser() if folder is not None else HERE
        program = shutil.which("node")
        if program is None:
            raise ConfigError("crawl libp2p: needs Node.js 20 or later on the PATH as `node`")
        if not (place / "dial.mjs").is_file():
            raise ConfigError(f"no dial.mjs in {place}: name the folder contrib/crawl-libp2p with #dialer=FOLDER")
        if not (place / "node_modules").is_dir():
            raise ConfigError(f"{place} lacks its packages: run `npm ci --omit=dev` there")
        process = await asyncio.create_subprocess_exec(
            *(program, str(place / "dial.mjs"), protocol),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            limit=LINE_BYTES_MAX,
            start_new_session=True,  # Ctrl-C ends the walk, which then still prints what it has
            env={name: value for name, value in os.environ.items() if name in ("PATH", "HOME", "LANG")},
        )
        dialer = cls(process)
        try:
            async with asyncio.timeout(READY_S):
                answer = await dialer._line()
        except TimeoutError:
            answer = None
        if answer is None or not answer.ready:
            await dialer.close()
            raise ConfigError(
                f"{place}/dial.mjs does not start: run `npm ci --omit=dev` there, and Node.js 20 or later"
            )
        dialer._reading = asyncio.create_task(dialer._read())
        return dialer

    async def dial(self, peer: str, addresses: list[str]) -> DialAnswer:
        """Connect to a peer, whose key proves its id."""
        return await self._ask(op="dial", peer=peer, addresses=addresses)

    async def find(self, peer: str, key: str) -> tuple[tuple[str, tuple[str, ...]], ...]:
        """Peers next to a key (in base64), from a peer to whom we are connected."""
        answer = await self._ask(op="find", peer=peer, key=key)
        if answer.closer is None:
            raise RemoteError("bad answer")
        return answer.closer

    def hang_up(self, peer: str) -> None:
        self._write(op="hangup", peer=peer)

    async def close(self) -> None:
        """End the program, and wait for that, so that its CPU time counts."""
        if self._reading is not None:
            self._reading.cancel()
        if self._process.returncode is None:
            self._process.kill()
        await self._process.wait()

    async def __aenter__(self) -> Dialer:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def _ask(self, **order: object) -> DialAnswer:
        self._number += 1
        number = self._number
        future = self._waiting[number] = asyncio.get_running_loop().create_future()
        try:
            self._write(id=number, **order)
            async with asyncio.timeout(ANSWER_S):
                answer: DialAnswer = await future
        except TimeoutError:
            raise TransportError("no answer in time") from None
        finally:
            del self._waiting[number]
        if answer.error is not None:
            raise TransportError(ERRORS.get(answer.error, "other error"))
        return answer

    def _write(self, **order: object) -> None:
        if self._process.returncode is not None or self._process.stdin is None:
            raise TransportError("the program that dials has ended")
        self._process.stdin.write(msgspec.json.encode(order) + b"\n")

    async def _read(self) -> None:
        while (answer := await self._line()) is not None:
            waiting = self._waiting.get(answer.id or 0)
            if waiting is not None and not waiting.done():
                waiting.set_result(answer)
        for waiting in self._waiting.values():
            if not waiting.done():
                waiting.set_result(DialAnswer(error="ended"))

    async def _line(self) -> DialAnswer | None:
        """The next answer; empty if it is none, None at the end."""
        assert self._process.stdout is not None
        try:
            line = await self._process.stdout.readline()
            return msgspec.json.decode(line, type=DialAnswer) if line else None
        except (ValueError, msgspec.MsgspecError, RecursionError):
            return DialAnswer()
