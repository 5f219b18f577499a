"""The verb that manages members: admit keygen, issue, revoke, show. It needs no agent and no network."""

from __future__ import annotations

import json
import secrets
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from peerscope.cli.options import FILE, JSON, Whole
from peerscope.cli.text import write_file
from peerscope.errors import ConfigError
from peerscope.host.credentials import armored, papers
from peerscope.host.state import make_key, read_key
from peerscope.mesh.membership.admission import NetworkConfig
from peerscope.records.certificates import SERIAL_BYTES, Certificate, Revocation, certify, revoke
from peerscope.records.identity import PEER_ID_BYTES, Identity, PeerId

KEY_FILE = "operator.key"
DAYS, DAYS_MAX = 90, 400
DAY_MS = 86_400_000
KEY = click.option(
    "--key",
    type=FILE,
    default=KEY_FILE,
    show_default=True,
    help="The operator's key.",
)
NETWORK = click.option(
    "--network", metavar="NAME", default=NetworkConfig().name, show_default=True, help="Name of the network."
)
OUTPUT = click.option("-o", "--output", type=FILE, help="Write to this file instead.")


@click.group()
@JSON
@click.pass_context
def admit(context: click.Context, as_json: bool) -> None:
    """Manage members: sign certificates with an operator's key, and revoke them.

    Members list the key's public half in network.operators. The key itself stays with the operator; no agent needs it.
    """
    context.obj = as_json


@admit.command()
@OUTPUT
@JSON
@click.pass_obj
def keygen(all_json: bool, output: Path | None, as_json: bool) -> None:
    """Make an operator's key (mode 0600; by default operator.key) and print its public half. Never overwrites."""
    place = output or Path(KEY_FILE)
    try:
        operator = Identity(make_key(place)).peer_id
    except FileExistsError:
        raise ConfigError(f"{place} is there already and is not overwritten; name another file with -o") from None
    if as_json or all_json:
        click.echo(json.dumps({"operator": operator.hex(), "key_file": str(place)}))
        return
    click.echo(f"key       {place} (keep it off the machines of members)")
    click.echo(f'members   operators = ["{operator.hex()}"]')


@admit.command()
@click.argument("peer_id")
@KEY
@NETWORK
@click.option("--days", type=Whole(1, DAYS_MAX), default=DAYS, show_default=True, help="How long it is valid.")
@OUTPUT
@JSON
@click.pass_obj
def issue(all_json: bool, peer_id: str, key: Path, network: str, days: int, output: Path | None, as_json: bool) -> None:
    """Sign a certificate for the peer with this id, which `peerscope init` prints there."""
    subject = PeerId(_hexadecimal(peer_id, PEER_ID_BYTES))
    now_ms = _now_ms()
    span = {"not_before_ms": now_ms, "not_after_ms": now_ms + days * DAY_MS}
    paper = certify(_operator(key), subject, _name(network), serial=secrets.token_bytes(SERIAL_BYTES), **span)
    if output is not None:
        write_file(output, armored(paper) + "\n")
    if as_json or all_json:
        click.echo(json.dumps({**_shown(paper, network), "certificate": armored(paper)}))
    elif output is None:
        click.echo(armored(paper))
    else:
        click.echo(f"{output}: certificate {paper.serial.hex()}, good until {_date(paper.not_after_ms)}")


@admit.command("revoke")
@click.argument("target", metavar="PEER_ID|SERIAL")
@KEY
@NETWORK
@OUTPUT
@JSON
@click.pass_obj
def revoke_(all_json: bool, target: str, key: Path, network: str, output: Path | None, as_json: bool) -> None:
    """Revoke one certificate by its serial number, or all certificates of a peer until now.

    -o FILE appends to FILE. Name FILE in network.revocation_file of any one member; the others get it from there.
    """
    name = _hexadecimal(target, PEER_ID_BYTES, SERIAL_BYTES)
    now_ms = _now_ms()
    until_ms = now_ms + DAYS_MAX * DAY_MS  # no certificate lasts longer
    paper = revoke(_operator(key), name, _name(network), revoked_at_ms=now_ms, not_after_ms=until_ms)
    if output is not None:
        before = output.read_text(encoding="ascii") if output.exists() and papers(output) else ""
        write_file(output, f"{before}{'' if before.endswith(chr(10)) or not before else chr(10)}{armored(paper)}\n")
    if as_json or all_json:
        click.echo(json.dumps({**_shown(paper, network), "revocation": armored(paper)}))
    else:
        click.echo(armored(paper) if output is None else f"{output}: {target} is revoked, once a member has this file")


@admit.command()
@click.argument("file", type=FILE)
@NETWORK
@JSON
@click.pass_obj
def show(all_json: bool, file: Path, network: str, as_json: bool) -> None:
    """Print certificates and revocations in FILE. Exits with 1 if one is expired or not signed by its operator."""
    found = [_shown(paper, network) for paper in papers(file)]
    if as_json or all_json:
        click.echo(json.dumps(found))
    else:
        for one in found:
            for name, value in one.items():
                text = _date(value) if name.endswith("_ms") else {True: "yes", False: "no"}.get(value, value)
                click.echo(f"{name.removesuffix('_ms').replace('_', ' '):<12}{text}")
            click.echo()
    sys.exit(not found or any(one["expired"] or not one["signed"] for one in found))


def _shown(paper: Certificate | Revocation, network: str) -> dict[str, Any]:
    common = {"operator": paper.operator.hex(), "expired": _now_ms() > paper.not_after_ms}
    if isinstance(paper, Certificate):
        return {
            "kind": "certificate",
            "peer_id": paper.subject.hex(),
            "network": paper.network,
            "serial": paper.serial.hex(),
            "not_before_ms": paper.not_before_ms,
            "not_after_ms": paper.not_after_ms,
            "signed": paper.is_signed(),
            **common,
        }
    return {
        "kind": "revocation",
        "target": paper.target.hex(),
        "network": network,
        "revoked_at_ms": paper.revoked_at_ms,
        "not_after_ms": paper.not_after_ms,
        "signed": paper.is_signed(network),
        **common,
    }


def _operator(key: Path) -> Identity:
    return Identity(read_key(key, "restore it from a backup, or make another by `peerscope admit keygen`"))


def _name(network: str) -> str:
    return NetworkConfig(name=network).name  # checked as in the settings


def _hexadecimal(text: str, *sizes: int) -> bytes:
    try:
        value = bytes.fromhex(text)
    except ValueError:
        value = b""
    if len(value) not in sizes:
        wish = " or ".join(f"{2 * size}" for size in sizes)
        raise ConfigError(f"{text[:80]!r} is not {wish} hexadecimal digits; give ids and serial numbers in full")
    return value


def _now_ms() -> int:
    return round(time.time() * 1000)


def _date(at_ms: int) -> str:
    try:
        return datetime.fromtimestamp(at_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    except (OverflowError, ValueError, OSError):
        return f"{at_ms} ms after 1970"
