"""Every command line that readers are asked to type runs, in a network in which one peer is dead.

What cannot run here is listed in `NOT_RUN`, with the reason. Every other command has to end as its document says.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner
from msgspec import Struct

from command_lines import ROOT, all_lines, command_of, example, variants
from demo_network import DemoNetwork, demo_network, eventually, get, post
from manuscript import lines
from peerscope.cli import cli, main
from receiver import receiving

PLAYED = "test_documents.py plays the tutorial and the pages about one agent"
SHOWN = "it does not end; tests/sim and tests/browser show simulated networks"
SIMULATED = "it takes long; tests/sim runs every scenario"
NOT_RUN = {
    "run --state $PWD/demo/peer-12": PLAYED,
    "run --state $PWD/state": PLAYED,
    "demo": "it does not end; the network of these tests is one, and test_documents.py plays the tutorial's",
    "top": "it needs a terminal; tests/top plays it",
    "node detect": "its answer depends on this machine; tests/e2e/test_node_detection.py starts nodes for it",
    "leave": "it ends the agent that is asked; tests/e2e/test_service.py has one for it",
    "crawl yggdrasil:/var/run/yggdrasil.sock": "it needs a Yggdrasil node; tests/e2e/test_yggdrasil_nodes.py has one",
    "crawl bittorrent:127.0.0.1:6881": "it needs nodes of BitTorrent; tests/e2e/test_crawl.py has some",
    "crawl libp2p:/ip4/127.0.0.1/tcp/4001/p2p/12D3KooWKXsuiFygxRYkpgKrZVBAAN3EL47GHQ9z5JMp8pviAPPk": (
        "it needs nodes of libp2p; tests/e2e/test_crawl.py has some"
    ),
    "crawl --compare monday.json": "it needs results of crawls; tests/e2e/test_crawl.py has some",
    "simulate --serve": SHOWN,
    "simulate partition --serve": SHOWN,
    "simulate partition --peers 60 --serve": SHOWN,
    "simulate kill --peers 60 --serve": SHOWN,
    "simulate coordinates --serve": SHOWN,
    "simulate SCENARIO": SIMULATED,
    "simulate kill --peers 50": SIMULATED,
    "simulate kill --peers 100": SIMULATED,
    "simulate kill --peers 1000": SIMULATED,
    "simulate crawl --peers 1000": SIMULATED,
    "simulate lossy": SIMULATED,
    "simulate zones": SIMULATED,
    "simulate sybil": SIMULATED,
    "simulate liar-gang": SIMULATED,
    "simulate --json": SIMULATED,
}
"""By the words with which they begin."""
VERB_ALONE = {"simulate": "it would run a scenario", "history": "it needs the name of a series"}
"""Sentences name the verb."""
IDS = ("PEER_ID", "$PEER", "p", "3f2a9c04d1", "5b0c91d2", "ab12cd34", "peer-down-3f2a")
"""As documents write them."""
ENDS_WITH = {
    ("status", "--check"): 1,
    ("history", "measure:block_height", "--peer", "ID"): 1,
    ("history", "measure_median:block_height"): 1,
}
"""One peer is down, and no node has a height. All others answer: 0."""
SHOWS = {
    "status": " down",
    "peers": "down",
    "why": "is down",
    "peer": "down",
    "alerts": "peer-down",
    "history": "mean",
    "ack": "acknowledged",
    "silence": "holds for",
    "unsilence": "is over",
    "backup": "written",
    "restore": "put into",
}
"""What a verb says of that network. JSON and lists of names are other answers."""


class Scene(Struct):
    """What its readers have before them."""

    network: DemoNetwork
    dead: dict[str, Any]
    gone: dict[str, Any]
    """Another one, which may be forgotten."""
    hook: str
    """Takes messages."""

    @property
    def asked(self) -> dict[str, Any]:
        return self.network.peers[0]

    def down(self) -> set[str]:
        """Who is down, as the peer that is asked sees it."""
        return {str(one["peer_id"]) for one in get(self.asked, "/api/v1/peers?status=down")}

    def alert(self) -> str:
        """The id of the alert about the dead peer; empty while there is none."""
        active = get(self.asked, "/api/v1/alerts")
        about = (
            str(one["id"]) for one in active if (one["rule"], one["peer_id"]) == ("peer-down", self.dead["peer_id"])
        )
        return next(about, "")


def commands() -> list[tuple[str, ...]]:
    """Each that is whole, once, whichever id it has and in whichever order."""
    found: dict[tuple[str, ...], tuple[str, ...]] = {}
    for one in all_lines():
        for arguments in variants(one.text):
            try:
                command_of(example(arguments))
            except click.UsageError:
                continue  # a sentence names it, as test_commands.py makes sure
            command = tuple("ID" if word in IDS else word for word in arguments)
            found.setdefault(tuple(sorted(command)), command)
    return list(found.values())


def reason(command: tuple[str, ...]) -> str | None:
    """Why it is not run."""
    text = " ".join(command)
    listed = (why for what, why in NOT_RUN.items() if f"{text} ".startswith(f"{what} "))
    return VERB_ALONE.get(text) or next(listed, None)


COMMANDS = commands()
RUN = [command for command in COMMANDS if reason(command) is None and command[0] != "run"]
STARTED = [command for command in COMMANDS if reason(command) is None and command[0] == "run"]
"""Agents, which go on until they are ended."""


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """Six peers of which two are killed once their past is on disk."""
    place = tmp_path_factory.mktemp("network")
    with receiving() as receiver, demo_network(place, peers=6) as network:
        scene = Scene(network, network.peers[-1], network.peers[-2], receiver.url)
        about = f"/api/v1/history?metric=cpu_ratio&peer={scene.dead['peer_id']}"
        written = ["history", "cpu_ratio", "--state", scene.dead["state"]]
        eventually(lambda: CliRunner().invoke(cli, written).exit_code == 0, "its past is on disk", within_s=90)
        eventually(lambda: any(value for _, value in get(scene.asked, about)["samples"]), "it reported", within_s=90)
        for index in (-1, -2):
            network.kill(index)
        eventually(lambda: scene.down() == {scene.dead["peer_id"], scene.gone["peer_id"]}, "both are down", within_s=90)
        eventually(lambda: bool(scene.alert()), "somebody says so", within_s=90)
        yield scene


def filled(command: tuple[str, ...], scene: Scene, place: Path) -> list[str]:
    """The command as its reader types it, with ids, files and addresses of this network."""
    one, other = (peer["peer_id"] for peer in scene.network.peers[1:3])
    values = {"TICKET": scene.asked["ticket"], "NAME": "ops", "SERIAL": "00112233445566ff"}
    values |= dict.fromkeys(("ID", "5ce21b"), scene.dead["peer_id"])
    values |= dict.fromkeys(("URL", "http://127.0.0.1:8080"), scene.asked["http"])
    if command[0] == "rtt":
        values |= {"A": one, "B": other, "5ce21b": one, "9a01": other}
    if command[0] == "ack":
        values["ID"] = scene.alert()
    if command[0] == "forget":
        values["ID"] = other if "--force" in command else scene.gone["peer_id"]
    if command[0] == "unsilence":
        order = {"matchers": ["rule=cpu-*"], "for_s": 600, "reason": "a test", "author": "ann@host"}
        values["ID"] = post(scene.asked, "/api/v1/silences", order)["id"]
    arguments = [values.get(word, word).replace("$PWD", str(place)) for word in command]
    parameters = {parameter.name for parameter in command_of(example(arguments)).command.params}
    if "api" in parameters and "--api" not in command and "--state" not in command:
        arguments += ["--api", scene.asked["http"]]
    if command[0] == "crawl":
        arguments += ["--listen", "127.0.0.1:0"]
    return example(arguments)


def prepare(command: tuple[str, ...], scene: Scene, place: Path) -> None:
    """Put files where the reader has them: those of the dead peer, and an operator's key."""
    verb = command[0]
    settings = f'[notify.channels.ops]\nkind = "webhook"\nurl = "{scene.hook}"\n'
    (place / "peerscope.toml").write_text(settings)
    if verb in ("backup", "check-config", "doctor", "history", "init", "notify-test"):
        folders = [folder for folder in ("DIR", "state", "restored") if any(folder in word for word in command)]
        for folder in [*folders, "home/peerscope"]:
            shutil.copytree(scene.dead["state"], place / folder)
            if verb == "notify-test":
                (place / folder / "peerscope.toml").write_text(settings)
    before = {
        "check-config": [["init", "--state", "made"]],
        "restore": [["backup", "FILE", "--state", scene.dead["state"]]],
        "issue": [["admit", "keygen"]],
        "revoke": [["admit", "keygen"]],
        "show": [["admit", "keygen"], ["admit", "issue", scene.dead["peer_id"], "-o", "FILE"]],
    }
    for arguments in before.get(command[1] if verb == "admit" else verb, ()):
        done = CliRunner().invoke(cli, arguments)
        assert done.exit_code == 0, done.output
    if "--undo" in command and scene.gone["peer_id"] in scene.down():
        post(scene.asked, "/api/v1/forgotten", {"peer": scene.gone["peer_id"], "reason": "sold", "author": "ann@host"})
    if verb == "check-config":
        shutil.copy(place / "made/peerscope.toml", place / "FILE")
    if verb == "restore":
        shutil.copy(place / "FILE", place / "peer.backup")


@pytest.mark.e2e
@pytest.mark.parametrize("command", STARTED, ids=" ".join)
def test_an_agent_starts_and_leaves(command: tuple[str, ...], scene: Scene, tmp_path: Path) -> None:
    (tmp_path / "peerscope.toml").write_text("[peer]\n")
    elsewhere = {
        "0.0.0.0:4600": "0.0.0.0:0",
        "/etc/peerscope/peerscope.toml": "peerscope.toml",
        "/var/lib/peerscope": "DIR",
        "examples/yggdrasil.toml": str(ROOT / "examples/yggdrasil.toml"),
    }
    arguments = [elsewhere.get(word, word) for word in filled(command, scene, tmp_path)]
    known = {name: value for name, value in os.environ.items() if not name.startswith("PEERSCOPE_")}
    home = {"XDG_STATE_HOME": str(tmp_path / "home"), "PEERSCOPE_WEB__LISTEN": "127.0.0.1:0"}
    home["PEERSCOPE_NODE__DETECT"] = "false"
    with (tmp_path / "log").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "peerscope", *arguments],
            cwd=tmp_path,
            env=known | home | {"PEERSCOPE_NETWORK__SECRET": "as the document says: one for all"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        )
    try:
        assert process.stdout is not None
        assert "ready" in process.stdout.readline(), (tmp_path / "log").read_text()
        process.terminate()
        process.communicate(timeout=60)
    finally:
        process.kill()
        process.communicate()
    assert process.returncode == 0, (tmp_path / "log").read_text()


@pytest.mark.e2e
@pytest.mark.parametrize("command", RUN, ids=" ".join)
def test_it_runs_and_shows_the_network_as_it_is(
    command: tuple[str, ...],
    scene: Scene,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.delenv("PEERSCOPE_WEB__TOKEN", raising=False)
    prepare(command, scene, tmp_path)
    monkeypatch.setattr(sys, "argv", ["peerscope", *filled(command, scene, tmp_path)])
    code = 0
    try:
        main()
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 1
    said = capsys.readouterr()
    assert code == ENDS_WITH.get(command, 0), said.err + said.out
    if not {"--json", "--list", "--rules"} & {*command} and not (command[0] == "history" and code):
        assert SHOWS.get(command[0], "") in said.out


def requests() -> list[str]:
    """What documents send to an agent by `curl`, with what follows it up to END."""
    code = [
        "\n".join(line.text for line in lines(place.read_text(encoding="utf-8")) if line.is_code)
        for place in sorted((ROOT / "docs").rglob("*.md"))
    ]
    return [
        found[0] for text in code for found in re.finditer(r"^curl (?:.*<<END\n(?:.*\n)*?END$|.*)", text, re.MULTILINE)
    ]


@pytest.mark.e2e
@pytest.mark.tools
@pytest.mark.parametrize("typed", requests())
def test_what_a_document_asks_by_curl_is_answered(typed: str, scene: Scene, need: Callable[[str], str]) -> None:
    asked = re.sub(r"http://127\.0\.0\.1:8080", scene.asked["http"], typed)
    done = subprocess.run(
        ["bash", "-c", re.sub(r"^curl", f"{need('curl')} --fail --silent --show-error --noproxy '*'", asked)],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) is not None


def test_every_command_that_is_not_run_is_still_somewhere() -> None:
    texts = [" ".join(command) for command in COMMANDS]
    assert [what for what in NOT_RUN if not any(f"{text} ".startswith(f"{what} ") for text in texts)] == []
    assert [what for what in VERB_ALONE if what not in texts] == []
    assert len(RUN) > 60
    assert len(requests()) >= 3
