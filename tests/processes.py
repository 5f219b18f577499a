"""Real agents as processes of their own, each started by name."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from demo_network import first_line, start
from peerscope.host.state import PEERS_FILE


class Peers:
    """Real peers by name, each with a state directory of its own."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self._running: dict[str, subprocess.Popen[str]] = {}
        self.ready: dict[str, dict[str, Any]] = {}

    def run(self, name: str, *tickets: str, listen: str = "127.0.0.1:0") -> dict[str, Any]:
        """Start a peer, or start it again; its ready line."""
        command = [sys.executable, "-m", "peerscope", "run", "--json", "--until-eof", "--http", "127.0.0.1:0"]
        command += ["--listen", listen]
        joins = [word for ticket in tickets for word in ("--join", ticket)]
        log = (self.place / f"{name}.log").open("w")
        with log:
            process = start([*command, "--state", str(self.place / name), *joins], stdin=subprocess.PIPE, stderr=log)
        self._running[name] = process
        self.ready[name] = json.loads(first_line(process))
        return self.ready[name]

    def said(self, name: str) -> str:
        """What a peer wrote to standard error."""
        return (self.place / f"{name}.log").read_text()

    def remembered(self, name: str) -> str:
        """The file of peers that a peer will start from the next time."""
        file = self.place / name / PEERS_FILE
        return file.read_text() if file.exists() else ""

    def event(self, name: str, event: str) -> dict[str, Any]:
        """The next event of this kind that a peer tells."""
        while True:
            told = json.loads(first_line(self._running[name]))
            if told["event"] == event:
                return told

    def kill(self, name: str) -> None:
        """As a crash would."""
        process = self._running.pop(name)
        os.kill(process.pid, signal.SIGKILL)
        process.communicate()

    def close(self) -> None:
        for name in list(self._running):
            self.kill(name)
