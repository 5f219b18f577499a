"""Agents to ask, and the command line as a function."""

import sys
from collections.abc import Callable, Iterator

import pytest

from live import Agent, running
from peerscope.cli import main

MARKUP = "[red]x[/red]"
"""A region that a careless terminal would paint."""
TOKEN = "0123456789abcdef"
Outcome = tuple[int, str, str]
CommandLine = Callable[..., Outcome]


@pytest.fixture
def peerscope(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> CommandLine:
    """`peerscope(*arguments)` runs a verb: its exit code, what it said, and what it complained of."""
    for name in ("PEERSCOPE_WEB__TOKEN", "NO_COLOR", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("COLUMNS", "200")

    def run(*arguments: str) -> Outcome:
        monkeypatch.setattr(sys, "argv", ["peerscope", *arguments])
        code = 0
        try:
            main()
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else int(end.code is not None)
        said = capsys.readouterr()
        return code, said.out, said.err

    return run


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
