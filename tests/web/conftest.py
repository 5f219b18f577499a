"""Two agents for the tests of this folder: one open to this machine, one with a token."""

from collections.abc import Iterator

import httpx
import pytest

from command_line import peerscope as peerscope
from live import Agent, client, running

TOKEN = "0123456789abcdef"


@pytest.fixture(scope="module")
def agent(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Agent]:
    peer = {"region": "eu-west"}
    web = {"update_interval_s": 0.2, "allowed_hosts": ["peers.example.org"]}
    with running(tmp_path_factory.mktemp("agent"), peer=peer, web=web) as agent:
        yield agent


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Agent]:
    with running(tmp_path_factory.mktemp("guarded"), web={"token": TOKEN}) as agent:
        yield agent


@pytest.fixture
def web(agent: Agent) -> Iterator[httpx.Client]:
    """Asks the open agent."""
    with client(agent) as asking:
        yield asking
