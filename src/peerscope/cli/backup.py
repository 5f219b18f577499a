"""Verbs that keep a state directory in one file: backup, restore."""

from __future__ import annotations

from pathlib import Path

import click
import msgspec

from peerscope.cli.run import JSON, STATE
from peerscope.doctor.findings import size
from peerscope.host.backup import Contents
from peerscope.host.state import default_state


@click.command()
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@STATE
@JSON
def backup(file: Path, state: Path | None, as_json: bool) -> None:
    """Copy the state directory into FILE, while the agent runs or not. FILE holds the identity key: keep it secret."""
    from peerscope.host.backup import backup as write

    _tell(write(state or default_state(), file), f"written to {file}, mode 0600; it holds the identity key", as_json)


@click.command()
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--force", is_flag=True, help="Also where another identity lives; its key is kept beside.")
@STATE
@JSON
def restore(file: Path, force: bool, state: Path | None, as_json: bool) -> None:
    """Put the backup FILE into the state directory; no agent may run on it, nor elsewhere with this identity."""
    from peerscope.host.backup import restore as put

    place = state or default_state()
    _tell(put(file, place, force=force), f"put into {place}; see that no other agent runs with it", as_json)


def _tell(contents: Contents, what: str, as_json: bool) -> None:
    if as_json:
        click.echo(msgspec.json.encode(contents))
        return
    total = sum(member.bytes for member in contents.files)
    click.echo(f"peer {contents.peer_id[:10]}, {len(contents.files)} files, {size(total)}: {what}")
