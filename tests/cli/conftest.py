"""Agents to ask, and the command line as a function (`peerscope`)."""

from collections.abc import Iterator

import pytest

from command_line import peerscope as peerscope
from live import Agent, running

MARKUP = "[red]x[/red]"
"""A region that a careless terminal would paint."""
TOKEN = "0123456789abcdef"


@pytest.fixture(scope="module")
def agent(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Agent]:
    with running(tmp_path_factory.mktemp("agent"), peer={"region": MARKUP}) as agent:
        yield agent


@pytest.fixture(scope="module")
def sick(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Agent]:
    """An agent whose memory is always too full, and that wants a token."""
    health = {"memory": {"degraded": 0, "unhealthy": 0}}
    with running(tmp_path_factory.mktemp("sick"), health=health, web={"token": TOKEN}) as agent:
        yield agent
