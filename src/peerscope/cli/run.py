"""Verbs that set up and run one peer: init, run, check-config, backup, restore, completion, version."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import signal
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import msgspec
import uvloop

from peerscope.agent.config_template import TEMPLATE
from peerscope.cli.options import CONFIG, FILE, JSON, STATE
from peerscope.config import Config
from peerscope.host.addresses import is_loopback, split_address
from peerscope.host.garbage import importing
from peerscope.host.logs import configure, secrets_in
from peerscope.host.state import KEY_FILE, StateDirectory, default_state
from peerscope.host.version import __version__
from peerscope.records.identity import short

if TYPE_CHECKING:
    from peerscope.host.backup import Contents

EVENT_ENCODER = msgspec.json.Encoder()
SHELLS = ("bash", "zsh", "fish")
VARIABLE = "_PEERSCOPE_COMPLETE"


@click.command()
@STATE
@click.option("--new-identity", is_flag=True, help="Make a new identity, on a copy of another peer's state directory.")
@JSON
def init(state: Path | None, new_identity: bool, as_json: bool) -> None:
    """Write a commented settings file and the identity key. Never overwrites either."""
    place = StateDirectory(state or default_state())
    kept = place.renew_identity() if new_identity else None
    is_new = not place.config_file.exists()
    if is_new:
        place.config_file.write_text(TEMPLATE, encoding="utf-8")
        place.config_file.chmod(0o600)  # it may hold a secret later
    peer = place.identity().peer_id
    if as_json:
        shown = {"peer_id": peer.hex(), "state": str(place.path), "config": str(place.config_file)}
        _print_json({**shown, "old_key": str(kept)} if kept else shown)
        return
    click.echo(f"settings  {place.config_file}{'' if is_new else ' (existed, unchanged)'}")
    click.echo(f"peer id   {peer.hex()}")
    if kept is not None:
        click.echo(f"old key   {kept}: delete it if the peer it belongs to runs elsewhere")
        click.echo("a certificate of the old id is not valid for the new one: see `peerscope admit issue`")
    click.echo(f"run it    peerscope run{f' --state {state}' if state else ''}")


@click.command()
@CONFIG
@STATE
@click.option("--listen", metavar="HOST:PORT", help="Address for other peers.")
@click.option("--join", metavar="TICKET|ID@HOST:PORT", multiple=True, help="A peer to join; repeatable.")
@click.option("--http", metavar="HOST:PORT|off", help="Address of the dashboard and the API.")
@click.option("--region", help="Region of this peer; free text.")
@click.option("--node-source", metavar="SPEC", multiple=True, help="A source of measurements of the node; repeatable.")
@click.option("--log-level", type=click.Choice(["debug", "info", "warning", "error"]), help="Lowest level to log.")
@click.option("--log-format", type=click.Choice(["text", "json"]), help="Format of the log on standard error.")
@click.option("--until-eof", is_flag=True, hidden=True, help="Leave when standard input closes.")
@JSON
def run(
    config: Path | None,
    state: Path | None,
    listen: str | None,
    join: tuple[str, ...],
    http: str | None,
    region: str | None,
    node_source: tuple[str, ...],
    log_level: str | None,
    log_format: str | None,
    until_eof: bool,
    as_json: bool,
) -> None:
    """Run one peer in the foreground until Ctrl-C."""
    if until_eof:
        _die_with_parent()
    place = StateDirectory(state or default_state())
    if config is None and place.config_file.exists():
        config = place.config_file
    peer = {"listen": listen, "join": join or None, "region": region}
    given: dict[str, dict[str, Any]] = {
        "peer": {key: value for key, value in peer.items() if value is not None},
        "web": {"listen": http} if http is not None else {},
        "node": {"sources": node_source} if node_source else {},
        "log": {key: value for key, value in (("level", log_level), ("format", log_format)) if value is not None},
    }
    load = partial(Config.load, config, options=given)
    uvloop.run(_serve(load, place.path, as_json=as_json, until_eof=until_eof))


@click.command("check-config")
@click.argument("file", type=FILE)
@STATE
@JSON
def check_config(file: Path, state: Path | None, as_json: bool) -> None:
    """Check a settings file and its state directory, with the settings in the environment.

    It finds all errors that `run` would find, except for ports and directories in use.
    """
    from peerscope.agent.monitor import Monitor  # loads the QUIC stack
    from peerscope.agent.startup import rehearse

    settings = Config.load(file)
    asyncio.run(rehearse(settings, state or _state_of(file), Monitor))
    if settings.web.listen != "off":
        from peerscope.web.listener import check_settings

        check_settings(settings.web)
    if as_json:
        _print_json({"file": str(file), "ok": True})
    else:
        click.echo(f"{file}: good (network {settings.network.name!r}, dashboard {settings.web.listen})")


def _state_of(file: Path) -> Path:
    """Default state directory of a settings file: its own folder, if the key is there."""
    return file.parent if (file.parent / KEY_FILE).exists() else default_state()


@click.command()
@click.argument("file", type=FILE)
@STATE
@JSON
def backup(file: Path, state: Path | None, as_json: bool) -> None:
    """Copy the state directory into FILE, also while its agent runs. FILE holds the identity key: keep it secret."""
    from peerscope.host.backup import backup as write

    _print_contents(
        write(state or default_state(), file), f"written to {file}, mode 0600; it holds the identity key", as_json
    )


@click.command()
@click.argument("file", type=FILE)
@click.option("--force", is_flag=True, help="Replace another identity, and keep its key in another file.")
@STATE
@JSON
def restore(file: Path, force: bool, state: Path | None, as_json: bool) -> None:
    """Restore the backup FILE to the state directory. No agent may use this directory, or this identity elsewhere."""
    from peerscope.host.backup import restore as put

    place = state or default_state()
    _print_contents(
        put(file, place, force=force), f"put into {place}; make sure that no other agent runs with it", as_json
    )


@click.command()
@click.argument("shell", type=click.Choice(SHELLS))
@JSON
@click.pass_context
def completion(ctx: click.Context, shell: str, as_json: bool) -> None:
    """Print a script that completes verbs and options in SHELL.

    \b
    bash  peerscope completion bash > ~/.local/share/bash-completion/completions/peerscope
    zsh   peerscope completion zsh > "${fpath[1]}/_peerscope"
    fish  peerscope completion fish > ~/.config/fish/completions/peerscope.fish
    """
    from click.shell_completion import get_completion_class

    kind = get_completion_class(shell)
    assert kind is not None  # click knows these three
    made = kind(ctx.find_root().command, {}, "peerscope", VARIABLE)
    # `source()` would check the version of this machine's bash; the script may be for another machine.
    text = made.source_template % made.source_vars()
    if as_json:
        _print_json({"shell": shell, "script": text})
    else:
        click.echo(text)


@click.command()
@JSON
def version(as_json: bool) -> None:
    """The version of this program."""
    if as_json:
        _print_json({"version": __version__, "python": sys.version.split()[0]})
    else:
        click.echo(f"peerscope {__version__}")


async def _serve(load: Callable[[], Config], state: Path, *, as_json: bool, until_eof: bool) -> None:
    with importing(for_good=True):
        from peerscope.agent.monitor import Monitor  # loads the QUIC stack: not for `version`
        from peerscope.agent.node_detection import keep_looking
        from peerscope.agent.service import Service
        from peerscope.web.listener import WebServer
    config = load()
    configure(config.log, secrets_in(config.plain()))
    monitor = Monitor(config, state)
    server = None
    if config.web.listen != "off":
        server = WebServer(monitor)
    service = Service(monitor, load)
    service.heed_signals()
    async with monitor:
        with contextlib.suppress(OSError):  # as below: closed output does not stop the agent
            _warn_if_open(config)
            _warn_if_plain(config)
            _print_ready(monitor, as_json=as_json)
        if as_json:
            monitor.listen(_print_json)
        parts = [] if server is None else [server.run()]
        if config.node.detect and not config.node.sources:
            parts.append(monitor.failure_log.going("the detection of a node", lambda: keep_looking(monitor.node)))
        if until_eof:
            parts.append(_end_of_input())
        await service.run(*parts)


def _warn_if_open(config: Config) -> None:
    if config.network.open:
        click.echo("peerscope: warning: network.open is true: any peer that reaches this one can join", err=True)


def _warn_if_plain(config: Config) -> None:
    web = config.web
    if web.listen != "off" and not web.tls_cert and not is_loopback(split_address(web.listen, "web.listen")[0]):
        click.echo(
            f"peerscope: warning: the dashboard on {web.listen} uses plain HTTP, so the network can read the token. "
            "Set web.tls_cert and web.tls_key, or use a proxy with TLS.",
            err=True,
        )


def _print_ready(monitor: Any, *, as_json: bool) -> None:
    me = monitor.self_view()
    if as_json:
        ready = {"event": "ready", "peer_id": me.peer_id, "ticket": me.ticket, "http": me.http, "pid": os.getpid()}
        _print_json({**ready, "state": str(monitor.state.path)})
        return
    where = f"dashboard {me.http}" if me.http else "no dashboard"
    click.echo(f"ready: peer {short(monitor.peer.me)} of network {me.network!r}, {where}")
    click.echo(f"others join with: peerscope run --join {me.ticket}")


def _print_json(value: Any) -> None:
    with contextlib.suppress(OSError):  # closed output or a full disk does not stop the agent
        click.echo(EVENT_ENCODER.encode(value).decode())


async def _end_of_input() -> None:
    """Wait until the parent process closes standard input."""
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while await reader.read(4096):
        pass


def _die_with_parent() -> None:
    """On Linux let the kernel end us with our parent, even while we are stopped (prctl(2), PR_SET_PDEATHSIG)."""
    if sys.platform == "linux":
        parent = os.getppid()
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(1, signal.SIGKILL)
        if os.getppid() != parent:  # it ended in between
            sys.exit(0)


def _print_contents(contents: Contents, what: str, as_json: bool) -> None:
    if as_json:
        click.echo(msgspec.json.encode(contents))
        return
    from peerscope.cli.text import size

    total = sum(member.bytes for member in contents.files)
    click.echo(f"peer {contents.peer_id[:10]}, {len(contents.files)} files, {size(total)}: {what}")
