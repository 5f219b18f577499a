"""Real Syncthing nodes on loopback for tests, without local discovery, relays and crash reports."""

import contextlib
import json
import os
import signal
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from yggdrasil_network import free_port

READY_S = 60.0
FOLDER = "shared"
NO_DISCOVERY = "https://127.0.0.1:1/?insecure"
"""A discovery server that nobody runs. Only the first node asks it."""


class SyncthingNetwork:
    """Some nodes, by number: all know each other and share one folder."""

    def __init__(self, program: str, folder: Path, nodes: int) -> None:
        self._program, self._folder = program, folder
        self._processes: dict[int, subprocess.Popen[bytes]] = {}
        self._gui = [free_port() for _ in range(nodes)]
        self._listen = [free_port() for _ in range(nodes)]
        self.ids = [self._generate(number) for number in range(nodes)]

    def home(self, number: int) -> Path:
        """The folder with the settings of a node."""
        return self._folder / f"home-{number}"

    def shared(self, number: int) -> Path:
        """The folder that all share, at one node."""
        return self._folder / f"files-{number}"

    def url(self, number: int) -> str:
        """The REST interface of a node."""
        return f"http://127.0.0.1:{self._gui[number]}"

    def key_file(self, number: int) -> Path:
        """A file with the node's API key."""
        return self._folder / f"key-{number}"

    def spec(self, number: int) -> str:
        """The source of a node."""
        return f"syncthing:{self.url(number)}#token_file={self.key_file(number)}"

    def ask(self, number: int, path: str) -> Any:
        """One answer of a node's own interface."""
        key = self.key_file(number).read_text()
        request = urllib.request.Request(self.url(number) + path, headers={"X-API-Key": key})
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.load(answer)

    def truth(self, number: int) -> dict[str, object]:
        """Values of a node, by its own interface."""
        connections = self.ask(number, "/rest/system/connections")
        others = {name: one for name, one in connections["connections"].items() if name != self.ids[number]}
        return {
            "node_id": self.ids[number],
            "version": self.ask(number, "/rest/system/version")["version"],
            "received_bytes": connections["total"]["inBytesTotal"],
            "sent_bytes": connections["total"]["outBytesTotal"],
            "devices_configured": len(others),
            "devices_connected": sum(one["connected"] for one in others.values()),
            "folder_completion": self.ask(number, f"/rest/db/completion?folder={FOLDER}")["completion"] / 100,
        }

    def start(self, number: int) -> None:
        """Start a node, or start it again."""
        with (self._folder / f"log-{number}").open("ab") as log:
            command = [self._program, f"-home={self.home(number)}", "-no-browser"]
            # Else it starts a second process, which would live on after this one was killed.
            surroundings = {**os.environ, "STMONITORED": "yes"}
            self._processes[number] = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, env=surroundings)

    def stop(self, number: int) -> None:
        """Let a node hang, its connections open (SIGSTOP)."""
        self._processes[number].send_signal(signal.SIGSTOP)

    def go_on(self, number: int) -> None:
        """End that."""
        self._processes[number].send_signal(signal.SIGCONT)

    def kill(self, number: int) -> None:
        """`kill -9` one node."""
        process = self._processes.pop(number)
        process.kill()
        process.wait()

    def close(self) -> None:
        """End all nodes."""
        for number in list(self._processes):
            self.kill(number)

    def _generate(self, number: int) -> str:
        """Make the keys and settings of a node; its id."""
        home = self.home(number)
        command = [self._program, "generate", f"--home={home}", "--no-default-folder", "--skip-port-probing"]
        subprocess.run(command, check=True, capture_output=True, timeout=60)
        config = ElementTree.parse(home / "config.xml").getroot()
        key = config.findtext("gui/apikey")
        device = config.find("device")
        assert key is not None
        assert device is not None
        self.key_file(number).write_text(key)
        return device.attrib["id"]

    def configure(self, number: int) -> None:
        """Write which others a node knows, where they listen, and what they share."""
        file = self.home(number) / "config.xml"
        tree = ElementTree.parse(file)
        config = tree.getroot()
        for device in config.findall("device"):
            config.remove(device)
        folder = ElementTree.SubElement(
            config,
            "folder",
            id=FOLDER,
            path=str(self.shared(number)),
            type="sendreceive",
            rescanIntervalS="3600",
            fsWatcherEnabled="false",
        )
        for other, key in enumerate(self.ids):
            ElementTree.SubElement(folder, "device", id=key)
            device = ElementTree.SubElement(config, "device", id=key, name=f"node{other}")
            ElementTree.SubElement(device, "address").text = f"tcp://127.0.0.1:{self._listen[other]}"
        options = config.find("options")
        gui = config.find("gui")
        assert options is not None
        assert gui is not None
        gui.find("address").text = f"127.0.0.1:{self._gui[number]}"  # type: ignore[union-attr]
        for name, value in {
            "listenAddress": f"tcp://127.0.0.1:{self._listen[number]}",
            "globalAnnounceEnabled": "true" if number == 0 else "false",
            "globalAnnounceServer": NO_DISCOVERY,
            "localAnnounceEnabled": "false",
            "relaysEnabled": "false",
            "natEnabled": "false",
            "urAccepted": "-1",
            "crashReportingEnabled": "false",
            "startBrowser": "false",
            "reconnectionIntervalS": "5",
        }.items():
            for old in options.findall(name):
                options.remove(old)
            ElementTree.SubElement(options, name).text = value
        tree.write(file)
        self.shared(number).mkdir(exist_ok=True)


@contextlib.contextmanager
def syncthing_network(program: str, folder: Path, nodes: int) -> Iterator[SyncthingNetwork]:
    """Nodes that are connected to all others. The first one has a file that it shares."""
    network = SyncthingNetwork(program, folder, nodes)
    try:
        for number in range(nodes):
            network.configure(number)
        (network.shared(0) / "file").write_bytes(b"x" * 300_000)
        for number in range(nodes):
            network.start(number)
        for number in range(nodes):
            until(lambda number=number: network.truth(number)["devices_connected"] == nodes - 1, f"{folder}: linked")
            until(lambda number=number: (network.shared(number) / "file").exists(), f"{folder}: all have the file")
        yield network
    finally:
        network.close()


def until(truth: Callable[[], bool], what: str) -> None:
    """Wait until something holds, also while a node does not answer yet."""
    end = time.monotonic() + READY_S
    while True:
        with contextlib.suppress(OSError):
            if truth():
                return
        assert time.monotonic() < end, f"never came true: {what}"
        time.sleep(0.2)
