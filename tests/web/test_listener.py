"""An agent loads its web server for the first client, and not before."""

import json
import socket
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest

from live import client, running
from peerscope.web import listener

UNUSED = [
    "starlette",
    "uvicorn",
    "h11",
    "websockets",
    "peerscope.web.app",
    "zipfile",
    "email",
    "http.client",
    "difflib",
]
"""Modules that take memory, and that an agent without clients, channels and nodes has no use for."""
ALONE = f"""
import asyncio, json, socket, sys
from pathlib import Path
import peerscope.agent.service, peerscope.cli.run
from peerscope.agent.monitor import Monitor
from peerscope.config import Config
from peerscope.web.listener import WebServer

REQUEST = b"GET /healthz HTTP/1.1\\r\\nHost: 127.0.0.1\\r\\nConnection: close\\r\\n\\r\\n"

async def main():
    config = Config.load(environment={{}}, options={{"web": {{"listen": "127.0.0.1:0"}}}})
    monitor = Monitor(config, Path(sys.argv[1]))
    server = WebServer(monitor)
    async with monitor:
        serving = asyncio.create_task(server.run())
        while monitor.peer.ledger.report(monitor.peer.me) is None:  # it has measured this machine once
            await asyncio.sleep(0.05)
        loaded = [name for name in {UNUSED} if name in sys.modules]
        reader, writer = await asyncio.open_connection("127.0.0.1", int(monitor.http.rpartition(":")[2]))
        writer.write(REQUEST)
        answer = await reader.read()
        writer.close()
        serving.cancel()
        await asyncio.gather(serving, return_exceptions=True)
    print(json.dumps([loaded, "starlette" in sys.modules, answer.split()[1].decode()]))

asyncio.run(main())
"""


def test_an_agent_without_clients_has_no_server_in_memory(tmp_path: Path) -> None:
    asked = subprocess.run([sys.executable, "-c", ALONE, str(tmp_path)], capture_output=True, text=True, check=True)
    assert json.loads(asked.stdout) == [[], True, "200"]


def test_a_client_that_comes_while_the_server_cannot_be_loaded_gets_its_answer_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    failures = [OSError(24, "Too many open files"), ImportError("no such name")]

    def load(name: str) -> ModuleType:
        if failures:
            raise failures.pop(0)
        return import_module(name)

    monkeypatch.setattr(listener, "import_module", load)
    with running(tmp_path) as agent, client(agent) as asking:
        assert asking.get("/api/v1/health").status_code == 200
        assert agent.monitor.failure_log.failures["a connection to the dashboard"] == 2


def test_a_server_without_clients_closes_its_port(tmp_path: Path) -> None:
    with running(tmp_path) as agent:
        port = int(agent.http.rpartition(":")[2])
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port))
