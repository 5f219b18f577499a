"""An i2pd router, asked by its I2PControl interface: JSON-RPC over TLS with a certificate that the router made itself.

Checked with i2pd 2.45.1. Its certificate is `i2pcontrol.crt.pem` in its data directory: name it in `ca_file`. It names
no host, so the router must hold exactly this certificate.

How wrong the router may be:
- A wrong password is answered with an empty result and no error.
- It repeats the id of a question without quotes, so the answer is no JSON if the id is a text. We use numbers.
- `uptime` is in milliseconds, although a whole second is its finest step. Bytes are decimals.
- Its known routers include itself. A router alone knows one.
- It has no id in this interface, and no neighbours.
- The success rate of tunnels is 0 before the first tunnel is built. We take it for unknown then.
- A killed peer is gone at once. A frozen one was still active after 240 s.
"""

from __future__ import annotations

import math
from typing import Annotated

from msgspec import Meta, Struct, field, structs

from peerscope.errors import ConfigError, SourceError
from peerscope.records.measures import COUNT_MAX, Measure, NodeMetrics
from peerscope.sources.base import Reading
from peerscope.sources.endpoint import Endpoint
from peerscope.sources.json_rpc import ask, result
from peerscope.sources.place import check_url, parse_place, secret

EXAMPLE = "https://127.0.0.1:7650"
ADVICE = "set enabled = true below [i2pcontrol] in i2pd.conf, and name its certificate in ca_file"
CERTIFICATE = "/var/lib/i2pd/i2pcontrol.crt.pem"
VERSION = 1

Total = Annotated[float, Meta(ge=0.0, le=float(COUNT_MAX))]
Count = Annotated[int, Meta(ge=0, le=COUNT_MAX)]
Word = Annotated[str, Meta(max_length=300)]


class _I2pLogin(Struct, frozen=True):
    token: Word = field(default="", name="Token")


class I2pRouter(Struct, frozen=True):
    """One answer of a router. Other versions leave some of it out."""

    version: Word = field(default="", name="i2p.router.version")
    uptime_ms: Total | None = field(default=None, name="i2p.router.uptime")
    known: Count | None = field(default=None, name="i2p.router.netdb.knownpeers")
    active: Count | None = field(default=None, name="i2p.router.netdb.activepeers")
    status: int | None = field(default=None, name="i2p.router.net.status")
    participating: Count | None = field(default=None, name="i2p.router.net.tunnels.participating")
    success: Annotated[float, Meta(ge=0.0, le=100.0)] | None = field(
        default=None, name="i2p.router.net.tunnels.successrate"
    )
    received: Total | None = field(default=None, name="i2p.router.net.total.received.bytes")
    sent: Total | None = field(default=None, name="i2p.router.net.total.sent.bytes")
    received_rate: Total | None = field(default=None, name="i2p.router.net.bw.inbound.15s")
    sent_rate: Total | None = field(default=None, name="i2p.router.net.bw.outbound.15s")


QUESTIONS = {one.encode_name: "" for one in structs.fields(I2pRouter)}


class I2pdSource:
    """One router's I2PControl as a source."""

    def __init__(self, argument: str) -> None:
        """`argument`: `URL#password_file=PATH&ca_file=PATH`. Raises `ConfigError`."""
        place = parse_place(argument, frozenset({"password_file", "ca_file"}))
        if "password_file" not in place.options:
            raise ConfigError("name the file with the password of I2PControl, as in i2pd:#password_file=PATH")
        self._password_file = place.options["password_file"]
        address = place.address or EXAMPLE
        check_url(address, EXAMPLE)
        options = {"ca_file": place.options.get("ca_file", CERTIFICATE)} if address.startswith("https:") else {}
        self._place = structs.replace(place, address=address, options=options)
        self._endpoint: Endpoint | None = None
        self._token = ""

    async def read(self) -> Reading:
        """Read peers, tunnels and bytes. Raises `SourceError`."""
        try:
            self._endpoint = rpc = self._endpoint or Endpoint(self._place, EXAMPLE, advice=ADVICE, named=False)
            router = self._router(rpc)
        except ConfigError as error:  # i2pd makes its certificate when it first starts
            raise SourceError(f"{error}; {ADVICE}") from None
        except SourceError:
            self._endpoint = None  # its certificate may be another one by now
            raise
        measures = [Measure("routers_known", router.known, "routers")]
        if router.success is not None:
            measures.append(Measure("tunnel_success", router.success / 100 if router.success else None, "ratio"))
        return Reading(
            node="i2pd",
            version=router.version[:64] or None,
            metrics=NodeMetrics(
                tunnels=router.participating,
                p2p_peers=router.active,
                received_bytes=_whole(router.received),
                sent_bytes=_whole(router.sent),
            ),
            measures=tuple(measures),
            details={
                "uptime_s": None if router.uptime_ms is None else router.uptime_ms / 1000,
                "network_status": None if router.status is None else float(router.status),
                "received_bytes_s": router.received_rate,
                "sent_bytes_s": router.sent_rate,
            },
        )

    async def close(self) -> None:
        """Nothing stays open."""

    def _router(self, rpc: Endpoint) -> I2pRouter:
        """Ask with the token of last time; log in again if the router has forgotten it."""
        if self._token:
            answer = ask(rpc, "", "RouterInfo", QUESTIONS | {"Token": self._token})
            router = I2pRouter() if answer.error else result(answer, I2pRouter, "RouterInfo")
            if router != I2pRouter():
                return router
        self._token = self._log_in(rpc)
        router = result(ask(rpc, "", "RouterInfo", QUESTIONS | {"Token": self._token}), I2pRouter, "RouterInfo")
        if router == I2pRouter():
            raise SourceError(f"{rpc.url} answers none of the values of an I2P router")
        return router

    def _log_in(self, rpc: Endpoint) -> str:
        answer = ask(rpc, "", "Authenticate", {"API": VERSION, "Password": secret(self._password_file)})
        token = "" if answer.error else result(answer, _I2pLogin, "Authenticate").token
        if not token:
            raise SourceError(f"{rpc.url} does not accept the password in {self._password_file}")
        return token


def _whole(number: float | None) -> int | None:
    return None if number is None or not math.isfinite(number) else round(number)
