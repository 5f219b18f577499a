"""The verb that shows the dashboard in a terminal."""

from __future__ import annotations

import click

from peerscope.cli.api import CA, ask, connection_options
from peerscope.host.extras import brought_by


@click.command()
@connection_options
@click.pass_context
def top(context: click.Context, api: str, token: str) -> None:
    """Overview, peers, alerts, incidents and regions, live in the terminal. Keys stand below; q ends it."""
    with brought_by("top", "`peerscope top`"):
        from peerscope.top.app import Top
    ask(api, token, "/api/v1/self")  # says in plain words what is wrong, before the screen is taken
    Top(api, token, context.meta.get(CA)).run()
