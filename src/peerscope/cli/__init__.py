"""The command line: one file a family of verbs; each parses, calls and prints.

Verbs are imported when they are used, so that `peerscope --help` answers at once.
"""

from __future__ import annotations

import sys
from importlib import import_module

import click

from peerscope.errors import PeerscopeError

VERBS = {
    "init": ("run", "Write a commented settings file and the identity key."),
    "run": ("run", "Run one peer in the foreground."),
    "demo": ("demo", "Run a local network of real peers, one process each."),
    "status": ("look", "The network's health and this peer, in one screen."),
    "top": ("look", "Overview and tables, live in the terminal."),
    "peers": ("look", "All known peers."),
    "peer": ("look", "Everything about one peer."),
    "node": ("metrics", "The node beside this peer, and where that is known from."),
    "why": ("look", "The evidence behind a peer's verdict."),
    "metrics": ("metrics", "What all peers measured in the last five minutes, and trends."),
    "regions": ("network", "The health of every region."),
    "zones": ("network", "The zones of a large network."),
    "latency": ("network", "Round-trip times, region by region."),
    "rtt": ("network", "The round-trip time of two peers."),
    "routes": ("network", "How long messages take, route by route."),
    "throughput": ("network", "Messages and bytes per second over the last hour."),
    "topology": ("map", "The map: links, regions, and where the network would split."),
    "admit": ("admit", "Say who is a member: certificates and revocations."),
    "crawl": ("crawl", "Map a network without joining it."),
    "alerts": ("alerts", "What is wrong anywhere in the network; the rules behind it."),
    "incidents": ("alerts", "Alerts with one probable root, and the tree of a cascade."),
    "silence": ("alerts", "Hold back messages about some alerts, in the whole network."),
    "silences": ("alerts", "Silences that hold now."),
    "unsilence": ("alerts", "End a silence."),
    "ack": ("alerts", "Say that you look after an alert or incident."),
    "forget": ("alerts", "Have the network forget a peer that is gone for good."),
    "forgotten": ("alerts", "Peers that are gone for good."),
    "threats": ("alerts", "What threatens peers and the network, with evidence and confidence."),
    "history": ("history", "One series over time, as a line of blocks."),
    "notify-test": ("notify", "Send a test message through the channels that the settings name."),
    "doctor": ("doctor", "What is wrong here, and what to do about it."),
    "backup": ("run", "Copy the state directory into one file."),
    "restore": ("run", "Put a backup back."),
    "simulate": ("simulate", "Run the same core on a virtual network."),
    "completion": ("run", "Teach a shell to complete verbs and options."),
    "check-config": ("run", "Check a settings file."),
    "version": ("run", "The version of this program."),
}


class Verbs(click.Group):
    """Finds verbs by name and loads their module on first use."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in VERBS:
            return None
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


def main() -> None:
    """Run, and end with 0 (answered), 1 (what was asked about is bad) or 2 (usage, settings, connection)."""
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
    except KeyError as error:  # an answer without what every agent says
        click.echo(f"peerscope: what answered is no peerscope agent, or of another version: no {error} in it", err=True)
        sys.exit(2)
    except BrokenPipeError:  # `| head` has seen enough
        sys.stderr.close()
        sys.exit(0)
