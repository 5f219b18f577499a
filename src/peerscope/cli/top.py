"""The verb that shows the dashboard in a terminal."""

from __future__ import annotations

import click

from peerscope.cli.api import CA, ask, connection_options
from peerscope.errors import ConfigError


@click.command()
@connection_options
@click.pass_context
def top(context: click.Context, api: str, token: str) -> None:
    """Overview, peers, alerts, incidents and regions, live in the terminal. Keys stand below; q ends it."""
    try:
        from peerscope.top.app import Top
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] != "textual":
            raise
        raise ConfigError("`peerscope top` needs an extra: pip install 'peerscope[top]'") from None
    ask(api, token, "/api/v1/self")  # says in plain words what is wrong, before the screen is taken
    Top(api, token, context.meta.get(CA)).run()
