"""aria2, asked over JSON-RPC. Checked with aria2 1.36.0; it must run with `--enable-rpc`.

As a source: `aria2:URL#token_file=FILE`, where the file holds the word of `--rpc-secret`. Without options the word of a
local aria2 comes from `rpc-secret` in this user's `aria2.conf`, where there is one. Numbers in answers are strings.

aria2 is late or wrong in this:
- It shows neither the state of trackers nor the number of DHT nodes.
- `connections` of a torrent also counts attempts. The peers are counted by `aria2.getPeers`.
- It has no totals of bytes, and forgets a download with its bytes. So the source adds up the growth of each torrent
  from the first time that it sees it. Received bytes are those of checked pieces.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, TypeVar

import msgspec
from msgspec import Meta, Struct

from peerscope.errors import SourceError
from peerscope.host.listeners import port_of
from peerscope.host.regular_files import read_regular
from peerscope.records.measures import NodeMetrics
from peerscope.records.texts import Name
from peerscope.sources.base import Reading
from peerscope.sources.endpoint import OPTIONS, TOKEN, Endpoint, decoded
from peerscope.sources.place import NodePlace, parse_place, secret
from peerscope.sources.programs.bittorrent import Growth, torrent_measures

DEFAULT = "http://127.0.0.1:6800"
PATH = "/jsonrpc"
DOWNLOADS_MAX = 1000
ASKED_FOR_PEERS_MAX = 64
"""Torrents whose peers are asked for: their answers hold a bit for each piece of each peer."""
CONFIG_BYTES_MAX = 1024 * 1024
UNAUTHORIZED = 1
T = TypeVar("T")
Digits = Annotated[str, Meta(pattern=r"^[0-9]{1,15}\Z")]
Key = Annotated[str, Meta(max_length=64)]
"""The id of a download, or the hash of a torrent."""


class Download(Struct, frozen=True, rename="camel"):
    """One download; a torrent has `info_hash`."""

    gid: Key
    info_hash: Key | None = None
    connections: Digits = "0"
    completed_length: Digits = "0"
    upload_length: Digits = "0"
    verified_length: Digits | None = None
    """Only while it checks its files."""
    error_code: Digits = "0"


class _Aria2Version(Struct, frozen=True):
    version: Name


class _Aria2Peer(Struct, frozen=True):
    ip: Annotated[str, Meta(max_length=64)]
    port: Digits


class _RpcFault(Struct, frozen=True):
    code: int = 0
    message: Annotated[str, Meta(max_length=400)] = ""


class _RpcReply(Struct, frozen=True):
    id: int | None = None
    result: msgspec.Raw = msgspec.Raw(b"null")
    error: _RpcFault | None = None


class Aria2Source:
    """One aria2's JSON-RPC as a source."""

    def __init__(self, argument: str) -> None:
        """`argument`: "URL#token_file=FILE"; empty for this user's aria2. Raises `ConfigError`."""
        place = parse_place(argument, OPTIONS)
        others = {name: value for name, value in place.options.items() if name != "token_file"}
        self._endpoint = Endpoint(NodePlace(place.address or DEFAULT, "", others), DEFAULT)
        self._token_file = place.options.get("token_file")
        self._received, self._sent = Growth(), Growth()

    async def read(self) -> Reading:
        """Read downloads, peers and bytes. Raises `SourceError`."""
        keys = ["gid", "infoHash", "connections", "completedLength", "uploadLength", "verifiedLength"]
        version, active, waiting, stopped = self._ask(
            ("aria2.getVersion", []),
            ("aria2.tellActive", [keys]),
            ("aria2.tellWaiting", [0, DOWNLOADS_MAX, ["gid", "infoHash"]]),
            ("aria2.tellStopped", [0, DOWNLOADS_MAX, ["gid", "infoHash", "errorCode"]]),
        )
        downloads = _result(active, tuple[Download, ...])
        others = _torrents(_result(waiting, tuple[Download, ...]))
        failed = [one for one in _torrents(_result(stopped, tuple[Download, ...])) if one.error_code != "0"]
        running = _torrents(downloads)
        asked = [("aria2.getPeers", [one.gid]) for one in running[:ASKED_FOR_PEERS_MAX]]
        answers = self._ask(*asked) if asked else []
        # A torrent may end between the two requests; then it has no peers.
        peers = {peer for one in answers if one.error is None for peer in _result(one, tuple[_Aria2Peer, ...])}
        steady = [one for one in running if one.verified_length is None]
        return Reading(
            node="aria2",
            version=_result(version, _Aria2Version).version,
            metrics=NodeMetrics(
                active_connections=sum(int(one.connections) for one in downloads),
                p2p_peers=len(peers) if len(running) <= ASKED_FOR_PEERS_MAX else None,
                received_bytes=self._received.add({one.gid: int(one.completed_length) for one in steady}),
                sent_bytes=self._sent.add({one.gid: int(one.upload_length) for one in running}),
            ),
            measures=torrent_measures(
                torrents=len(running) + len(others) + len(failed),
                torrents_failing=len(failed),
                trackers=None,
                dht_nodes=None,
            ),
            details={"downloads_active": float(len(downloads))},
        )

    async def close(self) -> None:
        """Nothing stays open."""

    def _ask(self, *questions: tuple[str, list[Any]]) -> Sequence[_RpcReply]:
        """Ask in one request; an answer for each question, in order."""
        token = self._token()
        first = [f"token:{token}"] if token else []
        batch = [
            {"jsonrpc": "2.0", "id": number, "method": method, "params": [*first, *parameters]}
            for number, (method, parameters) in enumerate(questions)
        ]
        page = self._endpoint.post(PATH, msgspec.json.encode(batch), accepted=(400,))
        url = self._endpoint.at(PATH)
        answers = {one.id: one for one in decoded(page, tuple[_RpcReply, ...], url)}
        if len(answers) != len(questions) or not answers.keys() <= {*range(len(questions))}:
            raise SourceError(f"{url} answers {len(answers)} of {len(questions)} questions")
        for one in answers.values():
            if one.error is not None and one.error.message == "Unauthorized":
                advice = "does not accept this secret" if token else "wants its secret, as in #token_file=PATH"
                raise SourceError(f"aria2 at {self._endpoint.url} {advice}")
        return [answers[number] for number in range(len(questions))]

    def _token(self) -> str:
        if self._token_file:
            return secret(self._token_file)
        found = _own_settings()
        if found is None or not found[1].get("rpc-secret"):
            return ""
        file, settings = found
        port = port_of(settings.get("rpc-listen-port", ""))
        self._endpoint.check_listener(file, TOKEN, ports=() if port is None else (port,))
        return settings["rpc-secret"]


def _torrents(downloads: Sequence[Download]) -> list[Download]:
    return [one for one in downloads if one.info_hash]


def _result(reply: _RpcReply, kind: type[T]) -> T:
    if reply.error is not None:
        raise SourceError(f"aria2 answers with an error: {reply.error.message}")
    try:
        return msgspec.json.decode(reply.result, type=kind)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise SourceError(f"aria2 answers something else: {error}") from None


def _own_settings() -> tuple[Path, dict[str, str]] | None:
    """The file of this user's settings, and what it says; None where there is none."""
    config = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config")
    for file in (Path.home() / ".aria2/aria2.conf", config / "aria2/aria2.conf"):
        try:
            lines = read_regular(file, CONFIG_BYTES_MAX).decode("utf-8", "replace").split("\n")
        except OSError:
            continue
        pairs = (line.partition("=") for line in reversed(lines))  # the first one of a name counts
        return file, {name.strip(): value.strip() for name, _, value in pairs}
    return None
