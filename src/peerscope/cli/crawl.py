"""The verb that maps a network without joining it: crawl."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

import click
import msgspec
import uvloop
from msgspec.structs import replace
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from peerscope.cli.crawl_text import notes, show_changes, show_crawl
from peerscope.cli.foreign_networks import Mapping, foreign
from peerscope.cli.options import FILE, FOLDER, Decimal, Whole
from peerscope.config import Config
from peerscope.errors import ConfigError
from peerscope.host.credentials import CredentialFiles
from peerscope.host.state import StateDirectory
from peerscope.mesh.crawling.traversal import Walk, WalkConfig
from peerscope.records.certificates import Certificate
from peerscope.records.identity import Identity
from peerscope.views.crawl import CrawlView, dot
from peerscope.views.crawl_changes import CrawlChanges, changes, decode_crawl

FILE_BYTES_MAX = 512 * 1024 * 1024
"""Largest earlier result. One of 100,000 peers and a million links has about 150 MB."""


def _required(context: click.Context, parameter: click.Parameter, tickets: tuple[str, ...]) -> tuple[str, ...]:
    """Tickets may be missing where earlier results are compared with each other."""
    if not tickets and len(context.params.get("earlier") or ()) < 2:
        raise click.MissingParameter(ctx=context, param=parameter)
    return tickets


@click.command()
@click.argument("tickets", metavar="TICKET...", nargs=-1, callback=_required)
@click.option("--limit", type=Whole(1, 100_000), default=10_000, show_default=True, help="Peers to ask.")
@click.option("--timeout", type=Decimal(0.1, 3600), default=60.0, show_default=True, help="Seconds in all.")
@click.option("--concurrency", type=Whole(1, 512), default=64, show_default=True, help="Requests at once.")
@click.option("--network", metavar="NAME", help="Name of the network, if not the default.")
@click.option("--secret-file", type=FILE, help="Holds the network's secret.")
@click.option("--config", type=FILE, help="Settings to take both from.")
@click.option("--state", type=FOLDER, help="Identity of a member, if the network answers members only.")
@click.option("--listen", metavar="HOST:PORT", default="0.0.0.0:0", show_default=True, help="Address to dial from.")
@click.option(
    "--compare", "earlier", metavar="OLD.json", type=FILE, multiple=True, help="Compare with earlier results."
)
@click.option("--format", "form", type=click.Choice(["table", "json", "dot"]), default="table", show_default=True)
@click.option("--json", "as_json", is_flag=True, help="The same as --format json.")
def crawl(
    tickets: tuple[str, ...],
    limit: int,
    timeout: float,
    concurrency: int,
    network: str | None,
    secret_file: Path | None,
    config: Path | None,
    state: Path | None,
    listen: str,
    earlier: tuple[Path, ...],
    form: str,
    as_json: bool,
) -> None:
    """Map a network from TICKETs on, without joining it.

    For another network a TICKET is yggdrasil:SOCKET, bittorrent:HOST:PORT or libp2p:MULTIADDR.

    Asks each peer for its neighbours, breadth-first. The secret may also stand in PEERSCOPE_NETWORK__SECRET. Exits with
    1 if no peer answered; Ctrl-C prints the peers found so far and exits with 130.
    """
    form = "json" if as_json else form
    past = [(str(place), decode_crawl(_data(place), str(place), now=time.time())) for place in earlier]
    if not tickets:
        _print_changes(changes(past), form)
        return
    walk = WalkConfig(peers_max=limit, timeout_s=timeout, concurrency=concurrency)
    if (mapping := foreign(tickets, walk)) is None:
        given = {"name": network, "secret": _secret(secret_file)}
        options = {"network": {key: value for key, value in given.items() if value is not None}}
        mapping = _mesh(tickets, Config.load(config, options=options), walk, listen, state)
    view, stopped = uvloop.run(_run(mapping))
    found = changes([*past, ("this crawl", view)]) if past else None
    if form == "json":
        both = msgspec.to_builtins(view) | ({} if found is None else {"changes": msgspec.to_builtins(found)})
        click.echo(msgspec.json.encode(both).decode())
    elif form == "dot":
        click.echo(dot(view), nl=False)
    else:
        show_crawl(view)
        if found is not None:
            show_changes(found)
    for note in notes(view, stopped=stopped):
        click.echo(f"peerscope: {note}", err=True)
    sys.exit(130 if stopped else 0 if view.peers else 1)


def _print_changes(found: CrawlChanges, form: str) -> None:
    if form == "dot":
        raise ConfigError("--format dot draws one crawl: give tickets, or another format")
    if form == "json":
        click.echo(msgspec.json.encode(found).decode())
    else:
        show_changes(found)


def _data(place: Path) -> bytes:
    try:
        with place.open("rb") as file:
            data = file.read(FILE_BYTES_MAX + 1)
    except OSError as error:
        raise ConfigError(f"--compare {place}: cannot be read: {error.strerror}") from None
    if len(data) > FILE_BYTES_MAX:
        raise ConfigError(f"--compare {place}: larger than {FILE_BYTES_MAX >> 20} MiB")
    return data


def _mesh(tickets: tuple[str, ...], config: Config, walk: WalkConfig, listen: str, state: Path | None) -> Mapping:
    from peerscope.crawl.mesh import crawl_mesh  # loads the QUIC stack, which other networks do not need
    from peerscope.transport.joining import parse_joins

    starts = parse_joins(tickets, "TICKETS")
    secret, certificate = _identity(config, state)
    return lambda stopping, progress: crawl_mesh(
        starts,
        config.network,
        walk,
        listen=listen,
        stopping=stopping,
        progress=progress,
        secret=secret,
        certificate=certificate,
    )


def _identity(config: Config, place: Path | None) -> tuple[bytes | None, Certificate | None]:
    """The identity to ask with: by default a new one."""
    if place is None:
        if config.network.allow or config.network.operators:
            raise ConfigError(
                "network.allow or network.operators is set, so the network answers members only: name the state "
                "directory of a member that does not run with --state"
            )
        return None, None
    state = StateDirectory(place)
    state.lock()  # no other agent may use the key until we end
    secret = state.secret()
    files = CredentialFiles(config.network, Identity(secret).peer_id, state.path)
    return secret, files.first(round(time.time() * 1000)).certificate


async def _run(mapping: Mapping) -> tuple[CrawlView, bool]:
    """The result with its time and its cost, and whether Ctrl-C ended the crawl."""
    at, cpu_s = time.time(), _cpu_s()
    stopping = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    console = Console(stderr=True)
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as shown:
        task = shown.add_task("crawling")

        def progress(walk: Walk[Any]) -> None:
            parts = f"{walk.found} found, {walk.heard} answered, {walk.unreachable} unreachable, depth {walk.depth}"
            shown.update(task, description=parts)

        view = await mapping(stopping, progress)
    cost = replace(view.cost, cpu_s=round(_cpu_s() - cpu_s, 3))
    return replace(view, at=round(at, 3), cost=cost), stopping.is_set()


def _cpu_s() -> float:
    """CPU time of this process and of its ended children."""
    return sum(os.times()[:4])


def _secret(place: Path | None) -> str | None:
    if place is None:
        return None
    try:
        return place.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"--secret-file {place}: cannot be read: {getattr(error, 'strerror', error)}") from None
