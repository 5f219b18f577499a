"""No secret leaves the agent: each one of the settings is planted, and everything that comes out is searched."""

import base64
import json
import logging
import re
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
from msgspec import Struct
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from certificates import certificate
from live import PATIENCE_S, Agent, running, until
from peerscope.config import Config
from peerscope.web.api import ROUTES

SECRET = re.compile(r"secret|token|password|passphrase|credential|(^|_)key$|(^|_)auth$")
PATHS = ("tls_key",)
"""Settings of that kind which hold no secret but the place of one."""
CLIENTS = ("http", "websockets.client")
"""Loggers of the test's own clients, who know the token."""
ODD = ("", "%00", "\u2028", "x" * 5000, "-1", "../../etc/passwd", "1h")


def secret_settings(kind: type[Struct], place: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Where in the settings secrets stand, by their names."""
    for field in msgspec.structs.fields(kind):
        if isinstance(field.type, type) and issubclass(field.type, Struct):
            yield from secret_settings(field.type, (*place, field.name))
        elif (
            SECRET.search(field.name)
            and field.name not in PATHS
            and field.type is str
            and not field.name.endswith("_file")
        ):
            yield (*place, field.name)


def planted() -> dict[tuple[str, ...], str]:
    return {place: f"planted-{number}-{'-'.join(place)}-0123456789" for number, place in enumerate(sorted_settings())}


def sorted_settings() -> list[tuple[str, ...]]:
    return sorted(secret_settings(Config))


def test_the_secrets_that_there_are_are_found() -> None:
    assert {("web", "token"), ("network", "secret")} <= set(sorted_settings())


def written(needle: bytes) -> list[bytes]:
    """A secret as it is, and as it may be written."""
    return [needle, needle.hex().encode(), base64.b64encode(needle).rstrip(b"="), repr(needle)[2:-1].encode()]


def ask_everything(agent: Agent, token: str) -> Iterator[bytes]:
    """Whatever the web server says, asked rightly and wrongly."""
    paths = [route.path.replace("{id}", agent.peer_id) for route in ROUTES]
    paths += ["/", "/openapi.json", "/static/app.js", "/nothing", "/api/v1/peers/zz", f"/nothing?token={token}"]
    for route in ROUTES:
        for name in route.query:
            paths += [f"{route.path}?{name}={value}" for value in ODD]
    proofs = [{"authorization": f"Bearer {token}"}, {}, {"authorization": f"Bearer {token[:-1]}x"}]
    with httpx.Client(base_url=agent.http, trust_env=False, verify=False, timeout=PATIENCE_S) as asking:
        for number, path in enumerate(paths):
            for method in ("GET", "POST", "DELETE"):
                for proof in proofs[: 2 if number else 3]:
                    answer = asking.request(method, path, headers=proof, content=b'{"type":"gauge","name":"tunnels"}\n')
                    yield f"{answer.headers}".encode() + answer.content


def watch_feed(agent: Agent, token: str) -> Iterator[bytes]:
    place = f"wss{agent.http.removeprefix('https')}/dashboard"
    anybody = ssl._create_unverified_context()
    with connect(f"{place}?token={token}", ssl=anybody, proxy=None) as feed:
        for _ in range(3):
            yield str(feed.recv(timeout=PATIENCE_S)).encode()
    with pytest.raises(InvalidStatus) as refused:
        connect(f"{place}?token={token}x", ssl=anybody, proxy=None)
    yield f"{refused.value.response.headers}".encode() + (refused.value.response.body or b"")


def test_nothing_that_comes_out_holds_a_secret(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    cert, key = certificate(tmp_path / "tls")
    settings: dict[str, Any] = {"web": {"tls_cert": str(cert), "tls_key": str(key), "update_interval_s": 0.1}}
    settings["history"] = {"interval_s": 1}
    for place, value in planted().items():
        section = settings
        for name in place[:-1]:
            section = section.setdefault(name, {})
        section[place[-1]] = value
    token = settings["web"]["token"]
    out: list[bytes] = []
    state = tmp_path / "state"
    with running(state, **settings) as agent:
        agent.loop.call(agent.monitor.listen, lambda event: out.append(json.dumps(event).encode()))
        seed = agent.monitor.state.secret()
        out += ask_everything(agent, token)
        out += watch_feed(agent, token)
        agent.monitor.event_log.send("test")
        records = agent.loop.call(lambda: [e.record for e in agent.monitor.peer.ledger.entries(agent.monitor.peer.me)])
        out += [msgspec.msgpack.encode(record) for record in records]
        until(lambda: bool(list(state.glob("*.sqlite*")) or list(state.glob("history*"))), "history is written")
    assert len(out) > 300
    out += [text.encode() for text in capfd.readouterr()]
    logged = [record for record in caplog.records if not record.name.startswith(CLIENTS)]
    out += [logging.Formatter("%(message)s").format(record).encode() for record in logged]
    out += [file.read_bytes() for file in state.rglob("*") if file.is_file() and file.name != "identity.key"]
    private = b"".join(line for line in key.read_bytes().splitlines() if not line.startswith(b"--"))
    needles = {"/".join(place): value.encode() for place, value in planted().items()}
    for name, needle in (needles | {"identity": seed, "TLS key": private[40:80]}).items():
        for form in written(needle):
            assert [data for data in out if form in data] == [], name


def test_a_settings_file_that_is_wrong_is_told_without_its_secrets(tmp_path: Path) -> None:
    for place in sorted_settings():
        *sections, name = place
        file = tmp_path / "wrong.toml"
        for value in ('["hunter2"]', '{a = "hunter2"}'):
            file.write_text(f"[{'.'.join(sections)}]\n{name} = {value}\n")
            with pytest.raises(Exception, match=name) as told:
                Config.load(file, environment={})
            assert "hunter2" not in str(told.value)
