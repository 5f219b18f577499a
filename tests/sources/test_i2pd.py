"""An I2P router as a source, with answers recorded from i2pd 2.45.1, here without TLS."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from answering import Answers, answering
from peerscope.errors import ConfigError, SourceError
from peerscope.records.measures import Measure, NodeMetrics
from peerscope.sources.base import Reading
from peerscope.sources.programs.i2pd import I2pdSource

ROUTER = (
    b'{"id":1,"result":{"i2p.router.version":"2.45.1","i2p.router.uptime":19000,"i2p.router.netdb.knownpeers":2,'
    b'"i2p.router.netdb.activepeers":1,"i2p.router.net.bw.inbound.15s":1371.00,"i2p.router.net.bw.outbound.15s":1274.00,'
    b'"i2p.router.net.status":3,"i2p.router.net.tunnels.participating":17,"i2p.router.net.tunnels.successrate":100,'
    b'"i2p.router.net.total.received.bytes":26182.00,"i2p.router.net.total.sent.bytes":26845.00},"jsonrpc":"2.0"}'
)
LOGGED_IN = {"id": 1, "result": {"API": 1, "Token": "1796064907"}, "jsonrpc": "2.0"}
NO_TOKEN = {"id": 1, "error": {"code": -32003, "message": "Nonexistent authentication token"}, "jsonrpc": "2.0"}


class RecordedRouter:
    """Answers as recorded; `token` is the one that it accepts."""

    def __init__(self) -> None:
        self.router: Any = ROUTER
        self.token = "1796064907"
        self.password = "secret"

    def answer(self, question: dict[str, Any]) -> Any:
        params = question["params"]
        if question["method"] == "Authenticate":
            right = params["Password"] == self.password
            return {"id": 1, "result": {"API": 1, "Token": self.token} if right else {}, "jsonrpc": "2.0"}
        return self.router if params["Token"] == self.token else NO_TOKEN


@pytest.fixture
def router() -> Iterator[tuple[Answers, RecordedRouter]]:
    with answering() as answers:
        recorded = RecordedRouter()
        answers.by_path[""] = answers.by_path["/"] = recorded.answer
        yield answers, recorded


Router = tuple[Answers, RecordedRouter]


def source(router: Router, folder: Path) -> I2pdSource:
    (folder / "password").write_text("secret\n")
    return I2pdSource(f"{router[0].url}#password_file={folder / 'password'}")


def read(router: Router, folder: Path) -> Reading:
    return asyncio.run(source(router, folder).read())


def test_it_reads_peers_tunnels_and_bytes(router: Router, tmp_path: Path) -> None:
    reading = read(router, tmp_path)
    assert (reading.node, reading.node_id, reading.version, reading.overlay) == ("i2pd", None, "2.45.1", ())
    assert reading.metrics == NodeMetrics(tunnels=17, p2p_peers=1, received_bytes=26182, sent_bytes=26845)
    assert reading.measures == (Measure("routers_known", 2, "routers"), Measure("tunnel_success", 1.0, "ratio"))
    assert reading.details["uptime_s"] == 19.0


def test_it_logs_in_once_and_again_after_a_restart_of_the_router(router: Router, tmp_path: Path) -> None:
    answers, recorded = router
    one = source(router, tmp_path)
    asyncio.run(one.read())
    asyncio.run(one.read())
    assert [question["method"] for _, _, question, _ in answers.asked] == ["Authenticate", "RouterInfo", "RouterInfo"]
    recorded.token = "another"
    assert asyncio.run(one.read()).metrics.p2p_peers == 1


def test_a_wrong_password_is_refused_although_the_router_does_not_say_so(router: Router, tmp_path: Path) -> None:
    router[1].password = "another"
    with pytest.raises(SourceError, match="does not accept the password"):
        read(router, tmp_path)


def test_a_router_without_tunnels_yet_has_no_rate_of_success(router: Router, tmp_path: Path) -> None:
    router[1].router = ROUTER.replace(b'successrate":100', b'successrate":0')
    assert read(router, tmp_path).measures[1] == Measure("tunnel_success", None, "ratio")


def test_values_that_a_router_leaves_out_are_unknown(router: Router, tmp_path: Path) -> None:
    router[1].router = {"id": 1, "result": {"i2p.router.version": "9"}, "jsonrpc": "2.0"}
    reading = read(router, tmp_path)
    assert reading.metrics == NodeMetrics()
    assert reading.details["uptime_s"] is None


@pytest.mark.parametrize(
    "answer",
    [
        b"{}",
        b"",
        b"<html>",
        ROUTER[:100],
        ROUTER.replace(b"26182.00", b"-1"),
        ROUTER.replace(b"26182.00", b"NaN"),
        ROUTER.replace(b"26182.00", b"1e300"),
        ROUTER.replace(b"19000", b'"19000"'),
        ROUTER.replace(b'"2.45.1"', b"2"),
    ],
)
def test_wrong_and_hostile_answers_are_refused(router: Router, tmp_path: Path, answer: bytes) -> None:
    router[1].router = answer
    with pytest.raises(SourceError):
        read(router, tmp_path)


def test_a_certificate_that_is_not_there_yet_is_waited_for(tmp_path: Path) -> None:
    (tmp_path / "password").write_text("secret")
    argument = f"https://127.0.0.1:1#password_file={tmp_path / 'password'}&ca_file={tmp_path / 'none.pem'}"
    with pytest.raises(SourceError, match=r"none\.pem: No such file.*\[i2pcontrol\]"):
        asyncio.run(I2pdSource(argument).read())


@pytest.mark.parametrize("argument", ["", "https://127.0.0.1:7650", "nowhere#password_file=x", "#password_file="])
def test_wrong_arguments_are_refused(argument: str) -> None:
    with pytest.raises(ConfigError):
        I2pdSource(argument)
