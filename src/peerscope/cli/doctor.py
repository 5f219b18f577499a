"""The verb that finds problems of one agent and its machine."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import click
import msgspec

from peerscope.cli.api import ask, ask_all
from peerscope.cli.options import FILE, FOLDER, JSON, TOKEN
from peerscope.config import Config
from peerscope.doctor import Diagnosis, bad, machine, network
from peerscope.errors import ApiError, ConfigError
from peerscope.host.state import default_state

STYLES = {"ok": "green", "warn": "yellow", "bad": "bold red", "unknown": "dim"}


@click.command()
@click.option("--state", type=FOLDER, help="State directory, as given to `run`.")
@click.option("--config", type=FILE, help="Settings, as given to `run`.")
@click.option("--api", metavar="URL", help="The agent to ask (default: web.listen of the settings).")
@TOKEN
@JSON
def doctor(state: Path | None, config: Path | None, api: str | None, token: str, as_json: bool) -> None:
    """Examine this machine and its agent; print problems with advice. Exits with 1 if anything is bad."""
    found = examine(state or default_state(), config, api, token)
    if as_json:
        click.echo(msgspec.json.encode(found))
    else:
        _show(found)
    sys.exit(1 if any(one.state == "bad" for one in found) else 0)


def examine(state: Path, given: Path | None, api: str | None, token: str) -> list[Diagnosis]:
    """All diagnoses of the machine and its agent."""
    found = [machine.state_directory(state), machine.state_files(state), machine.key(state)]
    place = machine.config_file(state, given)
    try:
        config = Config.load(place)
    except ConfigError as error:
        found.append(bad("settings", str(error), "correct it; `peerscope check-config FILE` checks it"))
        config = Config()
    else:
        found += [machine.settings_file(config, place), machine.admission(config)]
        found += machine.certificates(config, state, time.time())
    found += [machine.clock(), machine.disk(config, state), machine.store(config, state)]
    if api is not None:  # perhaps on another machine, so its key need not be here
        return found + _agent(api, token or config.web.token, None)
    if not machine.is_locked(state):
        return [*found, _no_agent(config), *machine.ports(config)]
    if config.web.listen == "off":
        return [*found, network.without_api()]
    return found + _agent(f"http://{config.web.listen}", token or config.web.token, machine.peer_id(state))


def _no_agent(config: Config) -> Diagnosis:
    """No agent uses this state directory; one with another directory may use its address, as a demo's does. It does not
    get our token."""
    if config.web.listen == "off" or config.web.listen.endswith(":0"):
        return network.no_agent()
    try:
        return network.other_directory(ask(f"http://{config.web.listen}", "", "/api/v1/self"))
    except (ApiError, KeyError, TypeError):
        return network.no_agent()


def _agent(api: str, token: str, peer_id: str | None) -> list[Diagnosis]:
    try:
        return _asked(api, token, peer_id)
    except ApiError as error:
        return [network.unreachable(str(error))]


def _asked(api: str, token: str, peer_id: str | None) -> list[Diagnosis]:
    me = ask(api, token, "/api/v1/self")
    if peer_id is not None and (other := network.other_peer(me, peer_id)) is not None:
        return [other]
    mine = ask(api, token, f"/api/v1/peers/{me['peer_id']}")
    peers = ask_all(api, token, "/api/v1/peers")
    try:
        ready = ask(api, token, "/readyz")
    except ApiError:  # 503: not ready; `ask` drops the body with the reason
        ready = {"ready": False, "reason": "it has not measured itself, or has no link to any peer"}
    return network.diagnose(me, mine, peers, ready)


def _show(found: list[Diagnosis]) -> None:
    from rich.console import Console
    from rich.text import Text

    console = Console()
    for one in found:
        state = Text(f"{one.state:<8}", STYLES[one.state])
        console.print(Text.assemble(state, f"{one.name:<22}", one.message), soft_wrap=True)
        if one.advice:
            console.print(Text.assemble(" " * 30, (f"-> {one.advice}", "italic")), soft_wrap=True)
