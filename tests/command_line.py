"""The command line as a function."""

import sys
from collections.abc import Callable

import pytest

from peerscope.cli import main

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
