"""The verb `leave`: a planned absence of the agent that is asked."""

from __future__ import annotations

import json

import click

from peerscope.cli.api import api_options, order
from peerscope.cli.options import Duration
from peerscope.cli.text import SHORT_HEX, age


@click.command()
@click.option("--reason", required=True, help="Why; visible to all members.")
@click.option("--for", "for_s", type=Duration(), help="Back within 30m, 2h, 1d; later than that it counts as down.")
@api_options
def leave(reason: str, for_s: float | None, api: str, token: str, as_json: bool) -> None:
    """Let the agent leave the network for planned work, and end it. Start it again to come back.

    No alert fires, and availability leaves the absence out.
    """
    body = {"reason": reason} | ({} if for_s is None else {"for_s": for_s})
    made = order(api, token, "POST", "/api/v1/leave", body)
    back = "" if for_s is None else f" for {age(for_s)}"
    click.echo(
        json.dumps(made) if as_json else f"peer {made['peer_id'][:SHORT_HEX]} leaves{back}, as planned: {reason}"
    )
