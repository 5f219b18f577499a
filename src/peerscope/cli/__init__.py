"""The command line: one file a family of verbs; each parses, calls and prints.

Modules load when one of their verbs runs, so that `peerscope --help` answers at once.
"""

from __future__ import annotations

import sys
from importlib import import_module

import click

from peerscope.errors import PeerscopeError
from peerscope.host.garbage import importing

VERBS = {
    "init": ("run", "Write a commented settings file and the identity key."),
    "run": ("run", "Run one peer in the foreground."),
    "demo": ("demo", "Run a local network of real peers, one process each."),
    "status": ("look", "The network's health and this peer, in one screen."),
    "top": ("look", "Overview and tables, live in the terminal."),
    "peers": ("look", "All known peers."),
    "peer": ("look", "Everything about one peer."),
    "node": ("metrics", "The node of this peer, and the sources that measure it."),
    "why": ("look", "The evidence behind a peer's verdict."),
    "metrics": ("metrics", "Measurements of all peers over the last five minutes, and trends."),
    "regions": ("network", "The health of every region."),
    "zones": ("network", "The zones of a large network."),
    "latency": ("network", "Round-trip times, region by region."),
    "rtt": ("network", "The round-trip time of two peers."),
    "routes": ("network", "How long messages take, route by route."),
    "throughput": ("network", "Messages and bytes per second over the last hour."),
    "topology": ("map", "The map: links, regions, and single points of failure."),
    "admit": ("admit", "Manage members: certificates and revocations."),
    "crawl": ("crawl", "Map a network without joining it."),
    "alerts": ("alerts", "Alerts of the whole network, and their rules."),
    "incidents": ("alerts", "Groups of alerts with one probable root, and the tree of a cascade."),
    "silence": ("alerts", "Hold back notifications of some alerts in the whole network."),
    "silences": ("alerts", "Silences that hold now or later."),
    "unsilence": ("alerts", "End a silence."),
    "ack": ("alerts", "Acknowledge an alert or incident."),
    "leave": ("leave", "Let the agent leave for planned work, and end it."),
    "forget": ("alerts", "Have the network forget a peer that is gone for good."),
    "forgotten": ("alerts", "Peers that are gone for good."),
    "threats": ("alerts", "Threats to peers and the network, with evidence and confidence."),
    "history": ("history", "One series over time, as a line of blocks."),
    "availability": ("availability", "The share of time in which peers were up."),
    "notify-test": ("notify", "Send a test message through the configured channels."),
    "doctor": ("doctor", "Problems of this machine and its agent, with advice."),
    "backup": ("run", "Copy the state directory into one file."),
    "restore": ("run", "Restore a backup."),
    "simulate": ("simulate", "Run the same core on a virtual network."),
    "completion": ("run", "Print a script that completes verbs and options in a shell."),
    "check-config": ("run", "Check a settings file."),
    "version": ("run", "The version of this program."),
}


class Verbs(click.Group):
    """Loads the module of a verb on first use."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in VERBS:
            return None
        with importing():
            _import_msgspec()
            module = import_module(f"peerscope.cli.{VERBS[cmd_name][0]}")
        command: click.Command = getattr(module, cmd_name.replace("-", "_"))
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Verbs"):
            formatter.write_dl([(name, summary) for name, (_, summary) in VERBS.items()])


@click.group(cls=Verbs, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
def cli() -> None:
    """Decentralised monitoring for peer-to-peer networks.

    Every peer runs one agent; open any peer's dashboard and see the whole network.
    """


def _import_msgspec() -> None:
    """Import msgspec without `typing_extensions`: it takes that where it finds it, else the same from `typing`.

    That saves each agent a megabyte and 3 ms.
    """
    name = "typing_extensions"
    if name in sys.modules or "msgspec" in sys.modules:
        return
    sys.modules[name] = None  # type: ignore[assignment]  # makes its import fail
    try:
        import msgspec  # noqa: F401
    finally:
        del sys.modules[name]


def main() -> None:
    """Exit with 0 (answered), 1 (the answer is bad news) or 2 (usage, settings, connection)."""
    try:
        cli.main(prog_name="peerscope", standalone_mode=False)
    except click.exceptions.Exit as done:
        sys.exit(done.exit_code)
    except click.ClickException as error:
        error.show()
        sys.exit(2)
    except (click.Abort, KeyboardInterrupt):
        sys.exit(130)
    except PeerscopeError as error:
        click.echo(f"peerscope: {error}", err=True)
        sys.exit(2)
    except KeyError as error:  # a field is missing that every agent sends
        click.echo(
            f"peerscope: the server is not a peerscope agent, or another version: its answer has no {error}", err=True
        )
        sys.exit(2)
    except BrokenPipeError:  # `| head` closed its end
        sys.stderr.close()
        sys.exit(0)
